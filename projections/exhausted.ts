/** What no waiting mends: a full disk, memory or a limit that has run out, a statement that takes too long. */
const exhausted = /^(53100|53200|53400|57014)/

/** Of an error of PostgreSQL, whatever it was made into on its way. */
export const sqlStateOf = (error: unknown): string => {
  if (error instanceof Error && error.cause !== undefined) return sqlStateOf(error.cause)
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** Whether an operator has to do something before the same can succeed. */
export const isExhausted = (error: unknown): boolean => exhausted.test(sqlStateOf(error))
