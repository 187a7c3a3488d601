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
import { consumerOfGeneration, liveGeneration } from './read-model-generations.ts'

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
})

type Readers = Readonly<Record<string, GenerationsReader>>

/**
 * Where the generations of projections stand in an engine of their own, the furthest of their partitions. PostgreSQL says
 * which there are and which is live: the engine itself goes on naming the former one until a swap is settled.
 */
export const standingElsewhere = async (
  database: Database,
  readers: Readers,
): Promise<Awaited<ReturnType<Keeping['checkpoints']>>> => {
  const others = await database.query<{ projection: string; generation: number }>(
    'select projection, generation from platform.generations where projection = any ($1::text[])',
    [Object.keys(readers)],
  )
  const standing = async (consumer: string, projection: string, generation: number) => {
    const found = await readers[projection]?.generations.at(generation).checkpoints(projection)
    const position = (found ?? []).reduce((most, each) => (each.position > most ? each.position : most), 0n)
    return { consumer, position, log: undefined }
  }
  return Promise.all([
    ...Object.keys(readers).map(async (name) => standing(name, name, await liveGeneration(database, name))),
    ...others.map(({ projection, generation }) =>
      standing(consumerOfGeneration(projection, generation), projection, generation),
    ),
  ])
}

const keepingElsewhere = (database: Database, engine: string, trail: LogTrail, readers: Readers): Keeping => ({
  ...{ engine, trail },
  has: (consumer) => consumer in readers,
  checkpoints: () => standingElsewhere(database, readers),
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
  const elsewhere: { readonly keeping: Keeping; readonly names: readonly string[] }[] = []
  const add = (engine: string, trail: LogTrail, readers: Readers) =>
    elsewhere.push({ keeping: keepingElsewhere(database, engine, trail, readers), names: Object.keys(readers) })
  if (leaderboards.checkpoints && leaderboards.trail)
    add('Redis', leaderboards.trail, { leaderboards: leaderboards.checkpoints })
  if (searchIndex.checkpoints && searchIndex.trail) {
    const { products, orders } = searchIndex.checkpoints
    add('Elasticsearch', searchIndex.trail, { product_search: products, order_search: orders })
  }
  const names = elsewhere.flatMap((one) => one.names)
  return createLogGuard({
    keepings: [keepingInPostgres(database, names), ...elsewhere.map(({ keeping }) => keeping)],
    ...{ store, records, logger, metrics },
  })
}
