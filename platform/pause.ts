import { setTimeout as sleep } from 'node:timers/promises'

/** Waits so many milliseconds, or until the signal aborts; it never rejects. */
export const pause = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await sleep(ms, undefined, signal ? { signal } : {}).catch(() => undefined)
}

/** How long to wait before attempt n (from 0): doubles from 50 ms to 2 s, with jitter so that many do not come at once. */
export const backOffMs = (attempt: number): number => Math.min(2_000, 50 * 2 ** attempt) * (0.5 + Math.random() / 2)
