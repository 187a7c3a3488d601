import type { Database } from '../platform/database.ts'
import { bucketOf, type LeaderboardEntry, type TopQuery } from '../platform/leaderboard-store.ts'
import type { EventPlace } from '../platform/log-continuity.ts'
import type { Instant } from './as-of.ts'
import * as sql from './board-marks-statements.ts'
import { nodesUpTo, nodesWithin } from './board-nodes.ts'
import type { Mark, Segment, Sold } from './board-segment.ts'

/**
 * Changes with what counts as sold, or with how many events lie between two marks: what another shape has kept is not
 * used, and goes when the first mark of a later one is set.
 */
const shape = 1

interface Row {
  readonly mark: number
  readonly position: bigint
  readonly stream: string
  readonly revision: bigint
  readonly event_id: string
  readonly recorded_at: string
}

export const beginning: Mark = { mark: 0, last: undefined, recordedAt: '' }

type WindowQuery = Pick<TopQuery, 'board' | 'window' | 'at'>

export type BoardPlace = Pick<LeaderboardEntry, 'rank' | 'key' | 'score'>

const dayMs = 86_400_000

/** From and to, exclusive. */
const hoursOf = ({ window, at }: WindowQuery): readonly [string, string] => {
  const start = bucketOf(window, at)
  const length = window === 'hour' ? dayMs / 24 : dayMs
  return [start, new Date(Date.parse(start) + length).toISOString()]
}

const spanOf = ({ window }: WindowQuery): 'all' | 'hour' => (window === 'all' ? 'all' : 'hour')

const startOfTime = bucketOf('all', '')

/** What a question about a window of a board is asked with (see the statements), but for the last two. */
const valuesOf = (mark: Mark, later: readonly Sold[], query: WindowQuery): unknown[] => {
  const bucket = bucketOf(query.window, query.at)
  const inWindow = later.filter(
    ({ board, hour }) => board === query.board && (query.window === 'all' || bucketOf(query.window, hour) === bucket),
  )
  return [
    ...[shape, mark.mark, mark.last?.id ?? null, query.board],
    inWindow.map(({ key }) => key),
    inWindow.map(({ currency }) => currency),
    inWindow.map(({ revenue }) => revenue),
    inWindow.map(({ units }) => units),
    ...(query.window === 'all' ? [nodesUpTo(mark.mark), startOfTime] : hoursOf(query)),
  ]
}

const eventOf = ({ event_id, stream, revision, position }: Row): EventPlace => ({
  id: event_id,
  stream,
  revision,
  position,
})

/** What was sold up to marks in the log (platform/migrations/0014_history.sql). */
export const createBoardMarks = (database: Database) => ({
  /** The last mark that is not after an instant. */
  latest: async (instant: Exclude<Instant, { by: 'revision' }>): Promise<Mark> => {
    const until = instant.by === 'time' ? instant.time : instant.position
    const [row] = await database.execute<Row>(sql.latestMark[instant.by], [shape, until])
    return row ? { mark: row.mark, last: eventOf(row), recordedAt: row.recorded_at } : beginning
  },

  /** Sets the next mark. @returns it, or undefined when somebody else has set one or the former is gone */
  add: ({ mark, last: before }: Mark, { sold, last, recordedAt }: Segment): Promise<Mark | undefined> =>
    database.transaction(async (transaction) => {
      if (!last) throw new Error('a mark is set at an event')
      const next = mark + 1
      await transaction.execute(sql.lockMarks)
      const added = await transaction.execute(sql.addMark, [
        ...[shape, next, before?.id ?? null],
        ...[last.position, last.stream, last.revision, last.id, recordedAt],
      ])
      if (added.length === 0) return undefined
      if (next === 1) {
        await transaction.execute(sql.forgetEarlierMarks, [shape])
        await transaction.execute(sql.forgetEarlierSums, [shape])
      }
      const boards = sold.map(({ board }) => board)
      const amounts = [
        sold.map(({ currency }) => currency),
        sold.map(({ key }) => key),
        sold.map(({ revenue }) => revenue),
        sold.map(({ units }) => units),
      ]
      await transaction.execute(sql.addHours, [shape, next, boards, sold.map(({ hour }) => hour), ...amounts])
      await transaction.execute(sql.addAllTime, [shape, next, boards, ...amounts, nodesWithin(next)])
      return { mark: next, last, recordedAt }
    }),

  /** Forgets all marks. */
  forget: (): Promise<void> =>
    database.transaction(async (transaction) => {
      await transaction.execute(sql.lockMarks)
      await transaction.execute(sql.forgetMarks, [shape])
      await transaction.execute(sql.forgetSums, [shape])
    }),

  /** The first places of what was sold up to a mark and later; undefined when the mark is gone. */
  top: async (mark: Mark, later: readonly Sold[], query: TopQuery): Promise<readonly BoardPlace[] | undefined> => {
    const rows = await database.execute<{ key: string | null; score: bigint }>(
      sql.topStatements[spanOf(query)][query.by],
      [...valuesOf(mark, later, query), query.by === 'revenue' ? query.currency : '', query.limit],
    )
    if (rows.length === 0) return undefined
    return rows.flatMap(({ key, score }, index) => (key === null ? [] : [{ rank: index + 1, key, score }]))
  },

  /** The currencies that were sold in, those with the most units first; undefined when the mark is gone. */
  currencies: async (
    mark: Mark,
    later: readonly Sold[],
    query: WindowQuery,
  ): Promise<readonly string[] | undefined> => {
    const rows = await database.execute<{ key: string | null }>(
      sql.currenciesStatements[spanOf(query)],
      valuesOf(mark, later, query),
    )
    return rows.length === 0 ? undefined : rows.flatMap(({ key }) => (key === null ? [] : [key]))
  },
})
