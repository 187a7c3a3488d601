import type { Measured } from './contender.ts'

export interface DriveOptions {
  readonly callers: number
  /** Calls in all. */
  readonly count: number
  /** No call is begun after so many seconds. */
  readonly seconds?: number
}

/** So many callers at once, each beginning its next call when the last one has answered. */
export const drive = async (options: DriveOptions, call: (index: number) => Promise<unknown>): Promise<Measured> => {
  const latenciesMs: number[] = []
  const begun = performance.now()
  const deadline = begun + (options.seconds ?? 5) * 1000
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < options.count) {
      const index = next++
      const start = performance.now()
      if (start > deadline) return
      await call(index)
      latenciesMs.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: options.callers }, caller))
  return { done: latenciesMs.length, seconds: (performance.now() - begun) / 1000, latenciesMs }
}

/** One piece of work that does `done` units. */
export const time = async (done: number, work: () => Promise<unknown>): Promise<Measured> => {
  const begun = performance.now()
  await work()
  return { done, seconds: (performance.now() - begun) / 1000, latenciesMs: [] }
}

/** The smallest value that `share` (0 to 1) of the values do not exceed; undefined for no values. */
export const percentile = (values: readonly number[], share: number): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(values.length * share) - 1)]

export const median = (values: readonly number[]): number | undefined => percentile(values, 0.5)
