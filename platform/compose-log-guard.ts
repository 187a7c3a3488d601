import type { GenerationsReader } from './checkpointed-store.ts'
import type { Engines } from './compose-engines.ts'
import type { Database } from './database.ts'
import { createLogGuard, type Keeping, type LogGuard } from './log-guard.ts'
import type { LogTrail } from './log-trail.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { unsealedOnly } from './partitioning.ts'
import { createPostgresLogTrail } from './postgres-log-trail.ts'
import type { PutBackRecords } from './put-back-records.ts'
import { liveGeneration } from './read-model-generations.ts'

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

type Readers = Readonly<Record<string, GenerationsReader>>

/**
 * Where projections stand in an engine of their own, the furthest of their partitions. PostgreSQL says which generation is
 * live: the engine itself goes on naming the former one until a swap is settled.
 */
export const standingElsewhere = (database: Database, readers: Readers): ReturnType<Keeping['checkpoints']> =>
  Promise.all(
    Object.entries(readers).map(async ([consumer, { generations }]) => {
      const live = generations.at(await liveGeneration(database, consumer))
      const positions = (await live.checkpoints(consumer)).map(({ position }) => position)
      return { consumer, position: positions.reduce((most, each) => (each > most ? each : most), 0n), log: undefined }
    }),
  )

const keepingElsewhere = (database: Database, engine: string, trail: LogTrail, readers: Readers): Keeping => ({
  ...{ engine, trail },
  has: (consumer) => consumer in readers,
  checkpoints: () => standingElsewhere(database, readers),
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
    elsewhere.push(keepingElsewhere(database, 'Redis', leaderboards.trail, { leaderboards: leaderboards.checkpoints }))
  if (searchIndex.checkpoints && searchIndex.trail) {
    const { products, orders } = searchIndex.checkpoints
    const readers = { product_search: products, order_search: orders }
    elsewhere.push(keepingElsewhere(database, 'Elasticsearch', searchIndex.trail, readers))
  }
  const names = elsewhere.flatMap(({ projections }) => projections)
  return createLogGuard({
    keepings: [keepingInPostgres(database, names), ...elsewhere],
    ...{ store, records, logger, metrics },
  })
}
