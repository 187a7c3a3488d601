import { auditLog, type LedgerEntry } from '../projections/audit.ts'
import { createConsistencyWaiter } from '../projections/consistency.ts'
import { leaderboards as leaderboardsProjection } from '../projections/leaderboards.ts'
import { orderSearch } from '../projections/order-search.ts'
import { createParkedEvents } from '../projections/parked-events.ts'
import { productSearch } from '../projections/product-search.ts'
import type { Projection } from '../projections/projection.ts'
import { createProjector } from '../projections/projector.ts'
import { postgresProjections } from '../projections/registry.ts'
import type { CheckpointReader } from './checkpointed-store.ts'
import type { Engines } from './compose-engines.ts'
import type { Board, LeaderboardStore } from './leaderboard-store.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import type { PersonalDataVault } from './personal-data.ts'

const everyone = 1_000_000

/** An all-time board, whole, as the audit compares it. */
const wholeBoard = async (store: LeaderboardStore, board: Board): Promise<Map<string, bigint>> => {
  const scores = new Map<string, bigint>()
  const query = { board, window: 'all', at: new Date(0).toISOString(), limit: everyone } as const
  for (const { key, score } of await store.top({ ...query, by: 'units' })) scores.set(key, score)
  for (const currency of await store.currencies(query))
    for (const { key, score } of await store.top({ ...query, by: 'revenue', currency }))
      scores.set(`${key} ${currency}`, score)
  return scores
}

/** Every read model on its engine, and what answers from them. */
export const composeReadModels = (deps: {
  readonly engines: Engines
  readonly vault: PersonalDataVault
  readonly logger: Logger
  readonly metrics: Metrics
}) => {
  const { engines, vault, logger, metrics } = deps
  const { database, queries, store, feed, partitionOf, leaderboards, searchIndex } = engines
  const projections: readonly Projection[] = [
    ...postgresProjections({ database, vault }),
    leaderboardsProjection({ store: leaderboards.writing }),
    productSearch({ index: searchIndex.writing.products }),
    orderSearch({ index: searchIndex.writing.orders, vault }),
  ]
  const elsewhere: Readonly<Record<string, CheckpointReader>> = {
    ...(leaderboards.checkpoints ? { leaderboards: leaderboards.checkpoints } : {}),
    ...(searchIndex.checkpoints
      ? { product_search: searchIndex.checkpoints.products, order_search: searchIndex.checkpoints.orders }
      : {}),
  }
  const consistency = createConsistencyWaiter({ database: queries, logger, partitions: feed.partitions, elsewhere })
  return {
    names: projections.map((projection) => projection.name),
    projectors: projections.map((projection) =>
      createProjector({ projection, feed, log: store, database, logger, metrics, onCheckpoint: consistency.report }),
    ),
    consistency,
    checkpointsElsewhere: elsewhere,
    leaderboards: leaderboards.asking,
    searchIndex: searchIndex.asking,
    parkedEvents: createParkedEvents({
      database,
      projections,
      logger,
      log: store,
      ...(partitionOf ? { partitionOf } : {}),
    }),
    audit: (known: { readonly acknowledged: readonly string[]; readonly ledger: readonly LedgerEntry[] }) =>
      auditLog({
        ...known,
        store,
        database: queries,
        board: (board) => wholeBoard(leaderboards.asking, board),
        documents: searchIndex.asking,
      }),
  }
}
