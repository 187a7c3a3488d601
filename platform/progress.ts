import { setMaxListeners } from 'node:events'

/**
 * A position that only grows, and those who wait for it to pass theirs.
 */
export interface Progress {
  position(): bigint
  /** Wakes whoever waits for less; a lower position than the present one changes nothing. */
  advance(position: bigint): void
  /** Wakes whoever waits, for there is nothing more to wait for. */
  end(): void
  /** Resolves when the position is beyond this one, at the end, when the signal aborts, or after so many milliseconds. */
  beyond(position: bigint, signal: AbortSignal, timeoutMs?: number): Promise<void>
}

export const createProgress = (start: bigint): Progress => {
  const waiters = new Set<{ readonly position: bigint; readonly wake: () => void }>()
  let current = start
  let ended = false
  return {
    position: () => current,
    advance: (position) => {
      if (position <= current) return
      current = position
      for (const waiter of waiters) if (position > waiter.position) waiter.wake()
    },
    end: () => {
      ended = true
      for (const waiter of waiters) waiter.wake()
    },
    beyond: (position, signal, timeoutMs) =>
      new Promise((resolve) => {
        if (current > position || ended || signal.aborted) return resolve()
        // One shutdown signal is shared by all who wait.
        setMaxListeners(0, signal)
        const wake = () => {
          waiters.delete(waiter)
          clearTimeout(timer)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const waiter = { position, wake }
        const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs)
        waiters.add(waiter)
        signal.addEventListener('abort', wake)
      }),
  }
}
