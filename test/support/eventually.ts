import { setTimeout as sleep } from 'node:timers/promises'

const told = (value: unknown): string =>
  JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner))

/**
 * Waits until a condition holds, by asking again; fails with what it last saw. For conditions of other processes, where
 * there is no position to wait on.
 */
export const eventually = async <T>(
  ask: () => Promise<T>,
  holds: (value: T) => boolean,
  options: { readonly withinMs?: number; readonly everyMs?: number; readonly what?: string } = {},
): Promise<T> => {
  const { withinMs = 90_000, everyMs = 20, what = 'the condition' } = options
  const deadline = Date.now() + withinMs
  let last: T | Error | undefined
  while (Date.now() < deadline) {
    try {
      const value = await ask()
      if (holds(value)) return value
      last = value
    } catch (error) {
      last = error instanceof Error ? error : new Error(String(error))
    }
    await sleep(everyMs)
  }
  throw new Error(
    `${what} did not hold within ${withinMs} ms; last seen: ${last instanceof Error ? last.stack : told(last)}`,
  )
}
