import type { HttpServer } from '../platform/http-server.ts'
import { boards } from '../platform/leaderboard-store.ts'
import { LeaderboardQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { readLeaderboard } from './leaderboard-board.ts'
import { addReadRoute } from './route.ts'

/** `GET /v1/leaderboards/products` and `/v1/leaderboards/customers`. */
export const registerLeaderboards = (server: HttpServer, deps: ReadApiDependencies): void => {
  for (const board of boards)
    addReadRoute(server, deps, `/v1/leaderboards/${board}`, {
      query: LeaderboardQuery,
      projections: ['leaderboards'],
      answer: ({ query }) => readLeaderboard(deps, board, query),
    })
}
