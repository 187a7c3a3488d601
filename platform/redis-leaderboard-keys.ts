import { type Board, bucketOf, type LeaderboardWindow, type ScoreChange } from './leaderboard-store.ts'

/**
 * Names of everything that one generation of the leaderboards keeps in Redis. What stands in braces is all that a
 * cluster hashes, so every key of a script is in one slot.
 *
 * `orderlog:{leaderboards:1}` is a hash: the epoch, the state of the generation, the log's identity, the checkpoints.
 * Everything else carries the epoch in its name: with a new epoch all boards are empty at once, and nobody who still
 * writes to old ones is heard.
 */
export interface RedisLeaderboardKeys {
  readonly meta: string
  /** Set: epochs that are over and whose keys are still to be removed. */
  readonly garbage: string
  of(epoch: string): EpochKeys
}

export interface EpochKeys {
  /** Hash: members of each board, so that a board that was deleted or cut by somebody else is noticed. */
  readonly counts: string
  /** Sorted set: the boards of hours by the hour, so that old ones are found. */
  readonly hours: string
  /** Hash: `consumer position` of each event that a checkpoint has gone past without it. */
  readonly skipped: string
  /** @param name see `boardName` */
  board(name: string): string
}

/** @param namespace begins every key */
export const spaceOf = (namespace: string, generation: number): string => `${namespace}:{leaderboards:${generation}}`

/** @param space `orderlog:{leaderboards:1}`: prefix, and in braces what and which generation of it */
export const redisLeaderboardKeys = (space: string): RedisLeaderboardKeys => ({
  meta: space,
  garbage: `${space}:garbage`,
  of: (epoch) => {
    const prefix = `${space}:${epoch}`
    return {
      counts: `${prefix}:counts`,
      hours: `${prefix}:hours`,
      skipped: `${prefix}:skipped`,
      board: (name) => `${prefix}:${name}`,
    }
  },
})

/** Which of the boards: `products:revenue:EUR:day:2026-11-21T00:00:00Z`. */
export const boardName = (place: {
  readonly board: Board
  readonly measure: ScoreChange['measure']
  readonly currency: string
  readonly window: LeaderboardWindow
  readonly bucket: string
}): string => `${place.board}:${place.measure}:${place.currency}:${place.window}:${place.bucket}`

/** The boards that answer a query, of one window. */
export const boardNames = (query: {
  readonly board: Board
  readonly window: LeaderboardWindow
  readonly at: string
}) => {
  const place = { board: query.board, window: query.window, bucket: bucketOf(query.window, query.at) }
  return {
    units: boardName({ ...place, measure: 'units', currency: '' }),
    currencies: boardName({ ...place, measure: 'currencies', currency: '' }),
    revenue: (currency: string) => boardName({ ...place, measure: 'revenue', currency }),
  }
}
