/** Runs work when its turn has come. */
export type Gate = <Result>(work: () => Promise<Result>) => Promise<Result>

/**
 * Lets so many works run at once; the others wait in order. A crowd of clients that comes back at the same moment then
 * shares a few connections to the database instead of taking them all.
 */
export const createGate = (width: number): Gate => {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= width) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      // The turn is handed on, so `running` stays; without anybody to take it, it ends.
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
