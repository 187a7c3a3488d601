import type { CheckpointedStore, StoreBatch, StoreGenerations } from './checkpointed-store.ts'
import type { Standing } from './standing.ts'

export const boards = ['products', 'customers'] as const
export type Board = (typeof boards)[number]
export type Measure = 'revenue' | 'units'
export type LeaderboardWindow = 'hour' | 'day' | 'all'

/**
 * What one sale, or the cancellation of one, does to one key. Deltas commute: a store adds them up in any order.
 */
export interface LeaderboardDelta {
  readonly board: Board
  /** SKU or customer id. */
  readonly key: string
  /** When the sale was confirmed, ISO 8601 UTC: it decides the hour and the day that it counts in. */
  readonly at: string
  readonly currency: string
  /** Minor units of `currency`; negative for a cancellation. */
  readonly revenue: bigint
  readonly units: bigint
}

export interface LeaderboardBatch extends StoreBatch {
  readonly deltas: readonly LeaderboardDelta[]
  /** Changes of single scores, beside those of the deltas, each member once: the repair of boards that were wrong. */
  readonly corrections?: readonly ScoreChange[]
}

interface WindowAt {
  readonly board: Board
  readonly window: LeaderboardWindow
  /** Any moment of the hour or day wanted, ISO 8601 UTC; without meaning for `all`. */
  readonly at: string
}

export type TopQuery = WindowAt & { readonly limit: number } & (
    | { readonly by: 'revenue'; readonly currency: string }
    | { readonly by: 'units'; readonly currency?: string }
  )

export interface LeaderboardEntry {
  /** 1 for the first; entries of equal score are ordered by key and have ranks of their own. */
  readonly rank: number
  readonly key: string
  /** Minor units of the currency asked for, or units over all currencies. */
  readonly score: bigint
  /** Units over all currencies. */
  readonly units: bigint
  /** Minor units of the currency that the query named; null when it named none. */
  readonly revenue: bigint | null
}

/**
 * Who sells and who buys the most, per hour, per day and of all time (UTC). Keys whose score is not above zero are not
 * shown. Hours are kept for `hourRetentionDays`; days and all time for ever. Engine failures are `EngineUnavailable`.
 */
export interface LeaderboardStore extends CheckpointedStore<LeaderboardBatch> {
  readonly generations: StoreGenerations<LeaderboardStore>
  top(query: TopQuery): Promise<readonly LeaderboardEntry[]>
  /** The currencies that were sold in, those with the most units first: for who asks for revenue and names none. */
  currencies(query: WindowAt): Promise<readonly string[]>
  /**
   * Shows every score, also of members that rankings leave out, portion by portion. Writers go on meanwhile: each
   * portion tells where the consumer stood when it was read, later ones the same or farther. The last one is `rest`.
   *
   * @throws ReadModelAbsent; ReadModelReplaced when the store is emptied meanwhile
   */
  scan(consumer: string, visit: (portion: ScorePortion) => Promise<void>): Promise<void>
}

/** Days that the hourly boards are kept. A delta for an older hour counts in its day and in all time only. */
export const hourRetentionDays = 40

/** First moment of the hour or day, ISO 8601 UTC to the second; the same text for all time. */
export const bucketOf = (window: LeaderboardWindow, at: string): string => {
  switch (window) {
    case 'hour':
      return `${at.slice(0, 13)}:00:00Z`
    case 'day':
      return `${at.slice(0, 10)}T00:00:00Z`
    case 'all':
      return '1970-01-01T00:00:00Z'
  }
}

/** The oldest hour that is still kept at this moment. */
export const oldestHour = (now: Date): string =>
  bucketOf('hour', new Date(now.getTime() - hourRetentionDays * 86_400_000).toISOString())

/** One of the boards. */
export interface BoardPlace {
  readonly board: Board
  /** `currencies`: units per currency, whose code is the key. */
  readonly measure: Measure | 'currencies'
  /** Empty for all but revenue. */
  readonly currency: string
  readonly window: LeaderboardWindow
  readonly bucket: string
}

/** One member of one board: what a row in a table and a member of a sorted set have in common. */
export interface ScoreChange extends BoardPlace {
  readonly key: string
  readonly change: bigint
}

/** Scores as they were at one moment. */
export interface ScorePortion extends Standing {
  readonly scores: readonly (BoardPlace & { readonly key: string; readonly score: bigint })[]
  /** Boards that have no other members than those of this portion; `rest`: whatever no portion has shown is not there. */
  readonly whole: readonly BoardPlace[] | 'rest'
}

const windows: readonly LeaderboardWindow[] = ['hour', 'day', 'all']

/**
 * The changes that a batch makes to the boards, one per member, without those that add up to nothing, in an order that
 * depends on the members alone: workers that touch the same ones lock them in the same order.
 */
export const scoreChanges = (deltas: readonly LeaderboardDelta[], now: Date): ScoreChange[] => {
  const sums = new Map<string, ScoreChange>()
  const kept = oldestHour(now)
  for (const delta of deltas)
    for (const window of windows) {
      const bucket = bucketOf(window, delta.at)
      if (window === 'hour' && bucket < kept) continue
      for (const [measure, currency, key, amount] of [
        ['revenue', delta.currency, delta.key, delta.revenue],
        ['units', '', delta.key, delta.units],
        ['currencies', '', delta.currency, delta.units],
      ] as const) {
        const id = [window, bucket, delta.board, measure, currency, key].join('\u0000')
        const change = (sums.get(id)?.change ?? 0n) + amount
        sums.set(id, { board: delta.board, measure, currency, window, bucket, key, change })
      }
    }
  return [...sums]
    .filter(([, sum]) => sum.change !== 0n)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, sum]) => sum)
}
