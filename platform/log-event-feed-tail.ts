import type { StoredEvent } from '../schemas/envelope.ts'
import type { FeedEvent } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { LogWentBack } from './failures.ts'
import { createLogContinuity } from './log-continuity.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'
import { createProgress } from './progress.ts'

/** The newest stretch of the log, read once for the whole process and decoded once for all consumers. */
export interface Tail {
  /** The last position it has seen. */
  head(): bigint
  /** Whether everything after this position is in the stretch. */
  covers(after: bigint): boolean
  /** Whether the log still holds what the tail has read of it. @throws LogWentBack, EngineUnavailable */
  check(): Promise<void>
  /**
   * The wanted events after this position, at most so many; undefined when the position lies before the stretch.
   *
   * @throws LogWentBack from when the log was found to be older than the stretch
   */
  read(after: bigint, limit: number, wanted?: ReadonlySet<string>): TailSlice | undefined
  /** Resolves when the tail has moved beyond this position or never will, or when the signal aborts. */
  beyond(position: bigint, signal: AbortSignal): Promise<void>
}

export interface TailSlice {
  readonly events: readonly FeedEvent[]
  readonly position: bigint
}

/** Index of the first event after this position. */
const firstAfter = (events: readonly FeedEvent[], position: bigint): number => {
  let low = 0
  let high = events.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((events[middle]?.stored.position ?? 0n) > position) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * Starts at the head of the log as it is now and follows it until the signal aborts.
 *
 * @param deps.capacity events kept at least, once so many have passed; twice as many at most
 */
export const startTail = async (deps: {
  readonly store: EventStore
  readonly toFeedEvent: (stored: StoredEvent) => FeedEvent
  readonly capacity: number
  readonly logger: Logger
  readonly signal: AbortSignal
}): Promise<Tail> => {
  const { store, capacity, signal } = deps
  let oldest = await store.head()
  let events: FeedEvent[] = []
  const progress = createProgress(oldest)
  const continuity = createLogContinuity(store, oldest)
  let putBack: LogWentBack | undefined

  /** Nobody is given anything any more: what the stretch holds never happened. */
  const breakOff = (error: LogWentBack): void => {
    if (putBack) return
    putBack = error
    progress.end()
    deps.logger.fatal({ err: error }, 'nothing is applied on top of another log')
  }

  const follow = async (): Promise<void> => {
    for await (const page of store.subscribe({ after: progress.position(), signal })) {
      continuity.read(page.events)
      for (const stored of page.events) events.push(deps.toFeedEvent(stored))
      if (events.length > 2 * capacity) {
        const dropped = events.length - capacity
        oldest = events[dropped - 1]?.stored.position ?? oldest
        events = events.slice(dropped)
      }
      progress.advance(page.position)
    }
  }

  const keepFollowing = async (): Promise<void> => {
    for (let attempt = 0; !signal.aborted && !putBack; attempt += 1) {
      const before = progress.position()
      await follow().catch((error: unknown) => {
        if (error instanceof LogWentBack) breakOff(error)
        else deps.logger.error({ err: error }, 'the tail of the log broke off')
      })
      if (progress.position() > before) attempt = 0
      await pause(backOffMs(attempt), signal)
    }
  }
  void keepFollowing()

  return {
    head: progress.position,
    beyond: progress.beyond,
    covers: (after) => after >= oldest,
    check: async () => {
      await continuity.check().catch((error: unknown) => {
        if (error instanceof LogWentBack) breakOff(error)
        throw error
      })
    },
    read: (after, limit, wanted) => {
      if (putBack) throw putBack
      if (after < oldest) return undefined
      const found: FeedEvent[] = []
      for (let index = firstAfter(events, after); index < events.length; index += 1) {
        const event = events[index]
        if (!event || (wanted && !wanted.has(event.stored.type))) continue
        found.push(event)
        if (found.length === limit) return { events: found, position: event.stored.position }
      }
      return { events: found, position: progress.position() }
    },
  }
}
