import type { CheckpointReader } from './checkpointed-store.ts'
import type { Engines } from './compose-engines.ts'
import type { Database } from './database.ts'
import { createLogGuard, type Keeping, type LogGuard } from './log-guard.ts'
import type { LogTrail } from './log-trail.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { unsealedOnly } from './partitioning.ts'
import { createPostgresLogTrail } from './postgres-log-trail.ts'
import type { PutBackRecords } from './put-back-records.ts'

/** @param elsewhere consumers whose checkpoints are not in PostgreSQL; rows of theirs were left when they moved */
export const keepingInPostgres = (database: Database, elsewhere: readonly string[] = []): Keeping => ({
  engine: 'PostgreSQL',
  trail: createPostgresLogTrail(database),
  has: (consumer) => !elsewhere.includes(consumer),
  checkpoints: () =>
    database.query(
      `select consumer, max(position) as position, min(log_identity::text) as log from platform.checkpoints
       where ${unsealedOnly} and split_part(consumer, '@', 1) <> all ($1::text[]) group by consumer`,
      [elsewhere],
    ),
  projections: [],
})

/** An engine of its own for some projections. */
const keepingElsewhere = (
  engine: string,
  trail: LogTrail,
  readers: Readonly<Record<string, CheckpointReader>>,
): Keeping => ({
  engine,
  trail,
  has: (consumer) => consumer in readers,
  checkpoints: async () => {
    const found: { consumer: string; position: bigint; log: undefined }[] = []
    for (const [consumer, reader] of Object.entries(readers)) {
      const positions = (await reader.checkpoints(consumer)).map(({ position }) => position)
      const furthest = positions.reduce((most, each) => (each > most ? each : most), 0n)
      found.push({ consumer, position: furthest, log: undefined })
    }
    return found
  },
  projections: Object.keys(readers),
})

/** The guard over every engine that keeps something derived from the log. */
export const composeLogGuard = (deps: {
  readonly engines: Engines
  readonly records: PutBackRecords
  readonly logger: Logger
  readonly metrics: Metrics
}): LogGuard => {
  const { engines, records, logger, metrics } = deps
  const { database, store, leaderboards, searchIndex } = engines
  const elsewhere: Keeping[] = []
  if (leaderboards.checkpoints && leaderboards.trail)
    elsewhere.push(keepingElsewhere('Redis', leaderboards.trail, { leaderboards: leaderboards.checkpoints }))
  if (searchIndex.checkpoints && searchIndex.trail) {
    const { products, orders } = searchIndex.checkpoints
    const readers = { product_search: products, order_search: orders }
    elsewhere.push(keepingElsewhere('Elasticsearch', searchIndex.trail, readers))
  }
  const names = elsewhere.flatMap(({ projections }) => projections)
  return createLogGuard({
    keepings: [keepingInPostgres(database, names), ...elsewhere],
    ...{ store, records, logger, metrics },
  })
}
