import { rememberCounts } from '../projections/counted-types.ts'
import type { Projection } from '../projections/projection.ts'
import { rebuildFromZero } from '../projections/rebuild-from-zero.ts'
import { createRebuildRecords } from '../projections/rebuild-records.ts'
import { createRebuildService } from '../projections/rebuild-service.ts'
import { rebuildStale } from '../projections/rebuild-stale.ts'
import type { StartThread } from '../projections/rebuild-threads.ts'
import { createRebuilder } from '../projections/rebuilder.ts'
import type { Verifier } from '../projections/verify.ts'
import { consumer as saga } from '../sagas/checkpoint.ts'
import { forgetSaga } from '../sagas/memory.ts'
import type { Engines } from './compose-engines.ts'
import type { LogGuard } from './log-guard.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { createPutBackRecords, kafkaConsumer } from './put-back-records.ts'

/**
 * Rebuilds, as they are asked for and as they are done.
 *
 * @param deps.projections over connections of their own
 */
export const composeRebuilds = (deps: {
  readonly engines: Engines
  readonly guard: LogGuard
  readonly projections: readonly Projection[]
  readonly lanes: number
  /** Loads in threads beside this one; default: here. */
  readonly startThread?: StartThread | undefined
  readonly verifier: Verifier
  readonly logger: Logger
  readonly metrics: Metrics
  /** Streams that a new generation may have parked events of before its rebuild fails. */
  readonly maxParkedStreams: number
}) => {
  const { engines, guard, projections, lanes, startThread, verifier, logger, metrics, maxParkedStreams } = deps
  const { database, rebuilding, store, leases, feed } = engines
  const records = createRebuildRecords(database)
  const counting = { ...store, countTypes: rememberCounts({ store, database }) }
  const common = { projections, store: counting, records, database: rebuilding, logger }
  const resets = {
    [saga]: async () => forgetSaga(database, await store.identity()),
    [kafkaConsumer]: () => createPutBackRecords(database).mend(kafkaConsumer),
    // Consumers that keep nothing but their place: what they do is harmless when repeated.
    ...Object.fromEntries(
      projections.flatMap((projection) =>
        projection.generations ? [] : [[projection.name, () => rebuildFromZero(store, projection)]],
      ),
    ),
  }
  const service = createRebuildService({ ...common, lanes, examine: guard.examine, resets })
  return {
    service,
    rebuildStale: (signal: AbortSignal) => rebuildStale(service, logger, signal),
    rebuilder: createRebuilder({
      ...common,
      leases,
      policy: { maxParkedStreams },
      partitions: feed.partitions,
      verify: async (projection, generation, sample, signal, onCompared) => {
        if (sample === 0) return undefined
        const { differenceCount, differences } = await verifier.verify(projection, {
          generation,
          // So many at random cost more than all of them.
          sample: sample === null || sample > 100_000 ? undefined : sample,
          signal,
          onCompared,
        })
        const [first] = differences
        if (!first) return undefined
        const field = first.field === null ? '' : ` ${first.field}`
        return `${differenceCount} differences; the first is ${first.key}${field} ${first.kind}`
      },
      metrics,
      ...(startThread ? { startThread } : {}),
    }),
  }
}
