import { leaderboardDeltas } from '../platform/leaderboard-deltas.ts'
import { type Board, bucketOf, type LeaderboardDelta } from '../platform/leaderboard-store.ts'
import type { EventPlace } from '../platform/log-continuity.ts'
import { decodeEvent, UndecodableEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { type Instant, isAfter } from './as-of.ts'
import type { ReadApiDependencies } from './dependencies.ts'

/** What was sold of one key, or to one, in one hour and currency. */
export interface Sold {
  readonly board: Board
  /** The first moment of the hour, ISO 8601 UTC. */
  readonly hour: string
  readonly currency: string
  readonly key: string
  /** Minor units. */
  readonly revenue: bigint
  readonly units: bigint
}

/** A place in the log: its last event, and the latest time up to there. */
export interface Mark {
  /** 0 for the beginning of the log. */
  readonly mark: number
  readonly last: EventPlace | undefined
  readonly recordedAt: string
}

/** Part of the log behind a mark. */
export interface Segment {
  /** Whether it has as many events as lie between two marks; otherwise it ends at the instant or with the log. */
  readonly whole: boolean
  readonly events: number
  readonly sold: readonly Sold[]
  /** Of its end; those of the mark where nothing follows it. */
  readonly last: EventPlace | undefined
  readonly recordedAt: string
}

/** Events read and folded at once: others have their turn in between. */
const pageLimit = 1_000

/** In whatever version: one that this code cannot read must not be passed over as if it were no sale. */
const saleName = /^order\.(confirmed|cancelled)\.v\d+$/

/** What an event sold, with the hour; an error: its data is not that of a sale. @throws UndecodableEvent */
const salesOf = (event: StoredEvent): readonly (LeaderboardDelta & { readonly hour: string })[] | Error => {
  try {
    return leaderboardDeltas(decodeEvent(event)).map((delta) => {
      const hour = bucketOf('hour', delta.at)
      // No board of today takes it, and no mark could be set past it.
      if (Number.isNaN(Date.parse(hour)) || typeof delta.key !== 'string' || typeof delta.currency !== 'string')
        throw new TypeError('it has no time, currency or key')
      return { ...delta, hour }
    })
  } catch (error) {
    if (error instanceof UndecodableEvent) throw error
    return error instanceof Error ? error : new Error(String(error))
  }
}

/**
 * Folds what was sold behind a mark, up to an instant or so many events. Memory is bounded by a page of the log.
 *
 * @param leftOut told of each sale whose data cannot be read: the boards go without it
 * @throws UndecodableEvent, EngineUnavailable
 */
export const readSegment = async (
  store: Pick<ReadApiDependencies['store'], 'readAll'>,
  mark: Mark,
  instant: Instant,
  limit: number,
  leftOut: (event: StoredEvent, error: Error) => void = () => undefined,
): Promise<Segment> => {
  const sums = new Map<string, Sold>()
  let { last, recordedAt } = mark
  let events = 0

  const count = (event: StoredEvent): void => {
    const sales = salesOf(event)
    if (sales instanceof Error) {
      leftOut(event, sales)
      return
    }
    for (const { board, hour, currency, key, revenue, units } of sales) {
      const id = [board, hour, currency, key].join('\u0000')
      const sold = sums.get(id)
      sums.set(id, {
        ...{ board, hour, currency, key },
        revenue: (sold?.revenue ?? 0n) + revenue,
        units: (sold?.units ?? 0n) + units,
      })
    }
  }
  const segment = (whole: boolean): Segment => {
    const sold = [...sums.values()].filter(({ revenue, units }) => revenue !== 0n || units !== 0n)
    return { whole, events, sold, last, recordedAt }
  }

  for (let after = last?.position ?? 0n; ; ) {
    const page = await store.readAll({ after, limit: Math.min(pageLimit, limit - events) })
    for (const event of page.events) {
      if (isAfter(event, instant)) return segment(false)
      if (saleName.test(event.type)) count(event)
      const { id, stream, revision, position } = event
      last = { id, stream, revision, position }
      if (event.recordedAt > recordedAt) recordedAt = event.recordedAt
      events += 1
    }
    if (events === limit) return segment(true)
    if (page.position <= after) return segment(false)
    after = page.position
  }
}
