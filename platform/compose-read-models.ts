import { auditLog, type LedgerEntry } from '../projections/audit.ts'
import { createConsistencyWaiter } from '../projections/consistency.ts'
import { createParkedEvents } from '../projections/parked-events.ts'
import { createProjector } from '../projections/projector.ts'
import type { StartThread } from '../projections/rebuild-threads.ts'
import type { CheckpointReader } from './checkpointed-store.ts'
import { systemClock } from './clock.ts'
import type { Engines } from './compose-engines.ts'
import { composeProjections } from './compose-projections.ts'
import { composeRebuilds } from './compose-rebuilds.ts'
import { composeVerifier } from './compose-verifier.ts'
import type { Database } from './database.ts'
import type { LogGuard } from './log-guard.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import type { PersonalDataVault } from './personal-data.ts'

/** Every read model on its engine, and what answers from them. */
export const composeReadModels = (deps: {
  readonly engines: Engines
  readonly guard: LogGuard
  readonly vault: PersonalDataVault
  /** Writers that share the load of a rebuild. */
  readonly lanes: number
  /** Loads in threads beside this one; default: here. */
  readonly startThread: StartThread | undefined
  readonly logger: Logger
  readonly metrics: Metrics
  /** Streams that a projection may have parked events of before it stops. */
  readonly maxParkedStreams: number
}) => {
  const { engines, guard, vault, lanes, startThread, logger, metrics, maxParkedStreams } = deps
  const { database, queries, store, feed, partitionOf, leaderboards, searchIndex } = engines
  const projectionsOn = (on: Database, which: 'writing' | 'building') => composeProjections(on, engines, vault, which)
  const projections = projectionsOn(database, 'writing')
  const elsewhere: Readonly<Record<string, CheckpointReader>> = {
    ...(leaderboards.checkpoints ? { leaderboards: leaderboards.checkpoints } : {}),
    ...(searchIndex.checkpoints
      ? { product_search: searchIndex.checkpoints.products, order_search: searchIndex.checkpoints.orders }
      : {}),
  }
  const consistency = createConsistencyWaiter({ database: queries, logger, partitions: feed.partitions, elsewhere })
  const versions = new Map(projections.map(({ name, version }) => [name, version]))
  const verifier = composeVerifier({ engines, vault, consistency, clock: systemClock, logger, metrics, versions })
  return {
    names: projections.map((projection) => projection.name),
    known: projections.map(({ name, version, generations }) => ({
      name,
      version,
      rebuildable: generations !== undefined,
    })),
    projectors: projections.map((projection) =>
      createProjector({
        ...{ projection, feed, log: store, database, logger, metrics, onCheckpoint: consistency.report },
        policy: { maxParkedStreams },
        ahead: guard.ahead,
      }),
    ),
    rebuilding: composeRebuilds({
      engines,
      guard,
      projections: projectionsOn(engines.rebuilding, 'building'),
      lanes,
      startThread,
      verifier,
      logger,
      metrics,
      maxParkedStreams,
    }),
    consistency,
    verifier,
    checkpointsElsewhere: elsewhere,
    leaderboards: leaderboards.asking,
    searchIndex: searchIndex.asking,
    parkedEvents: createParkedEvents({
      database,
      projections: projectionsOn(database, 'building'),
      logger,
      log: store,
      ...(partitionOf ? { partitionOf } : {}),
    }),
    audit: (known: { readonly acknowledged: readonly string[]; readonly ledger: readonly LedgerEntry[] }) =>
      auditLog({
        ...known,
        store,
        verifier,
      }),
  }
}
