import type { ConsistencyWaiter } from '../projections/consistency.ts'
import { createVerifier, type Verifier } from '../projections/verify.ts'
import type { StoreGenerations } from './checkpointed-store.ts'
import type { Clock } from './clock.ts'
import type { Engines } from './compose-engines.ts'
import type { Pair } from './compose-opening.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import type { PersonalDataVault } from './personal-data.ts'

/** The store of a generation; undefined: the live one. */
const ofGeneration = <Store extends { readonly generations?: StoreGenerations<Store> }>(
  live: Store,
  generation: number | undefined,
): Store => {
  if (generation === undefined) return live
  if (!live.generations) throw new Error('this store has one generation only')
  return live.generations.at(generation)
}

/** What compares every read model, on whichever engine, with the log. */
export const composeVerifier = (deps: {
  readonly engines: Engines
  readonly vault: PersonalDataVault
  readonly consistency: ConsistencyWaiter
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** Of the code, by projection. */
  readonly versions: ReadonlyMap<string, number>
}): Verifier => {
  const { engines, vault, consistency, clock, logger, metrics, versions } = deps
  const { rebuilding, store, partitionOf, leaderboards, searchIndex } = engines
  // On PostgreSQL over the connections of those whom nobody waits for.
  const readingOf = <Store>({ asking, building, checkpoints }: Pair<Store, unknown>): Store =>
    checkpoints === undefined ? building : asking
  return createVerifier({
    database: rebuilding,
    ...{ store, log: store, vault, clock, partitionOf, logger, metrics, versions },
    leaderboards: (generation) => ({
      reading: ofGeneration(readingOf(leaderboards), generation),
      writing: ofGeneration(leaderboards.building, generation),
    }),
    searchIndex: (generation) => {
      const { products, orders } = readingOf(searchIndex)
      return { products: ofGeneration(products, generation), orders: ofGeneration(orders, generation) }
    },
    reached: (consumer, position, ms, signal) => consistency.waitFor([consumer], position, ms, signal),
  })
}
