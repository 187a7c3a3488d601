import type { HttpServer } from '../platform/http-server.ts'
import { boards } from '../platform/leaderboard-store.ts'
import { LeaderboardQuery } from '../schemas/queries.ts'
import { createBoardHistory } from './board-history.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { readLeaderboard } from './leaderboard-board.ts'
import { addReadRoute } from './route.ts'

/**
 * `GET /v1/leaderboards/products` and `/v1/leaderboards/customers`: as they are, from the read model; with `asOf` as they
 * were, from the log.
 */
export const registerLeaderboards = (server: HttpServer, deps: ReadApiDependencies): void => {
  const boardsAsOf = createBoardHistory(deps)
  for (const board of boards)
    addReadRoute(server, deps, `/v1/leaderboards/${board}`, {
      query: LeaderboardQuery,
      projections: ['leaderboards'],
      fromLog: ({ asOf }) => asOf !== undefined,
      answer: async ({ query }) => {
        if (query.asOf === undefined) return readLeaderboard(deps, board, query)
        const then = await boardsAsOf(query.asOf, query.waitMs)
        return readLeaderboard({ ...deps, leaderboards: then }, board, { ...query, at: query.at ?? then.at })
      },
    })
}
