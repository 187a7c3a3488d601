import { createHash } from 'node:crypto'
import type { Static, TSchema } from 'typebox'
import { CommandRejected } from '../schemas/errors.ts'
import { validate } from '../schemas/validation.ts'

/** A digest of everything that decides which rows come in which order: a cursor is good for the same question only. */
const digestOf = (question: unknown): string =>
  createHash('sha256').update(JSON.stringify(question)).digest('base64url').slice(0, 12)

const sorted = (question: Readonly<Record<string, unknown>>): unknown =>
  Object.entries(question)
    .filter(([name, value]) => value !== undefined && !['cursor', 'limit', 'waitMs'].includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))

/**
 * The place after the last row of a page: base64url of the question's digest and the row's sort key. The page size and
 * the patience may change from page to page, filters and sort may not.
 *
 * @param list names the list, so that a cursor of one is refused by another
 */
export const encodeCursor = (
  list: string,
  question: Readonly<Record<string, unknown>>,
  key: readonly (string | number)[],
): string => Buffer.from(JSON.stringify([digestOf([list, sorted(question)]), ...key])).toString('base64url')

/**
 * The sort key in a cursor, undefined when the question has none.
 *
 * @param key schema of the sort key, a tuple: what a client made up never reaches the database
 * @throws CommandRejected `invalid-cursor`
 */
export const decodeCursor = <Key extends TSchema>(
  list: string,
  question: Readonly<Record<string, unknown>>,
  key: Key,
): Static<Key> | undefined => {
  const { cursor } = question
  if (typeof cursor !== 'string') return undefined
  try {
    const [digest, ...values] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[]
    const validation = validate(key, values)
    if (digest === digestOf([list, sorted(question)]) && validation.valid) return validation.value
  } catch {
    // Not JSON, or JSON that is no list: the same answer as for a cursor of another question.
  }
  throw new CommandRejected('invalid-cursor')
}

/**
 * Cuts a page out of rows that were asked for with one more than the limit: the extra row only tells that there is more.
 *
 * @param cursorOf the cursor after a row
 */
export const pageOf = <Row, Item>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => Item,
  cursorOf: (row: Row) => string,
): { items: Item[]; nextCursor: string | null } => {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { items: page.map(toItem), nextCursor: rows.length > limit && last ? cursorOf(last) : null }
}
