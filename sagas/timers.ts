import type { Clock } from '../platform/clock.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import type { DueTimer, SagaTables } from './tables.ts'

/** A timer that was claimed comes back after so long, should its claimer die. */
const claimMs = 60_000
/** Other processes set timers too, so the table is looked at once in a while even if none is known to be due. */
const longestSleepMs = 10_000
const batchSize = 500
const crowdedMs = 100

export interface Timers {
  /** Fires what is due until the signal aborts; engine failures are waited out. */
  run(signal: AbortSignal): Promise<void>
  /** Fires what is due now; returns how many timers. */
  fireDue(): Promise<number>
  /** A timer was set: wake up in time. @param dueAt ISO 8601 */
  expect(dueAt: string): void
}

/**
 * Durable timers. States: asleep until the earliest is due -> claim a batch, moving it on -> fire -> asleep. A fired
 * timer is only a hint to look at the instance: whether it still matters is checked against the instance's state, and
 * saving the instance replaces or removes its timers.
 */
export const createTimers = (deps: {
  readonly tables: Pick<SagaTables, 'claimTimers' | 'nextTimer'>
  readonly clock: Clock
  readonly logger: Logger
  readonly fire: (timer: DueTimer) => void
  /** How many more may be fired now; those that are due wait in the table meanwhile. */
  readonly room?: () => number
}): Timers => {
  const { tables, clock, logger, fire, room = () => batchSize } = deps
  /** The earliest that was announced since the table was last asked. */
  let expected = Number.POSITIVE_INFINITY
  let wakeAt = Number.POSITIVE_INFINITY
  let wake: (() => void) | undefined

  const fireUpTo = async (limit: number): Promise<number> => {
    const now = clock.now()
    const due = await tables.claimTimers(now, new Date(now.getTime() + claimMs), limit)
    for (const timer of due) fire(timer)
    return due.length
  }

  const sleepUntil = (at: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve()
      wakeAt = at
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        wake = undefined
        wakeAt = Number.POSITIVE_INFINITY
        resolve()
      }
      const timer = setTimeout(done, Math.max(0, at - clock.now().getTime()))
      signal.addEventListener('abort', done)
      wake = done
    })

  return {
    fireDue: () => fireUpTo(batchSize),
    expect: (dueAt) => {
      expected = Math.min(expected, Date.parse(dueAt))
      if (expected < wakeAt) wake?.()
    },
    run: async (signal) => {
      for (let failures = 0; !signal.aborted; ) {
        try {
          const limit = Math.min(batchSize, room())
          if (limit <= 0) {
            await pause(crowdedMs, signal)
            continue
          }
          const fired = await fireUpTo(limit)
          failures = 0
          if (fired === limit) continue
          expected = Number.POSITIVE_INFINITY
          const next = await tables.nextTimer()
          const latest = clock.now().getTime() + longestSleepMs
          // One that was set while the table was asked is not in the answer.
          await sleepUntil(Math.min(latest, expected, next === undefined ? latest : Date.parse(next)), signal)
        } catch (error) {
          if (!(error instanceof EngineUnavailable)) logger.error({ err: error }, 'the timers stumbled')
          await pause(backOffMs(failures), signal)
          failures += 1
        }
      }
    },
  }
}
