import { leaderboardDeltas } from '../platform/leaderboard-deltas.ts'
import type { LeaderboardStore } from '../platform/leaderboard-store.ts'
import { namesOf } from '../schemas/stored-names.ts'
import type { Projection } from './projection.ts'
import { storeGenerations, storeSink } from './store-sink.ts'

/** Products and customers by revenue and units, per hour, per day and of all time. */
export const leaderboards = (deps: { readonly store: LeaderboardStore }): Projection => {
  const name = 'leaderboards'
  const sinkOf = (store: LeaderboardStore) =>
    storeSink(name, store, async (events) => ({ deltas: events.flatMap(leaderboardDeltas) }))
  return {
    name,
    version: 1,
    types: namesOf('OrderConfirmed', 'OrderCancelled'),
    sink: sinkOf(deps.store),
    generations: storeGenerations(deps.store.generations, sinkOf),
  }
}
