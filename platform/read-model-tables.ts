import type { Buildable, CheckpointedStore, StoreBatch } from './checkpointed-store.ts'
import { type CheckpointOf, dropCheckpoints, readCheckpoint } from './checkpoints.ts'
import type { Database, Queryable } from './database.ts'
import { consumerOfGeneration, liveGeneration, schemaOfGeneration } from './read-model-generations.ts'

/** Ours alone: two processes that create the same tables at once would otherwise meet in the catalogue and fail. */
const creationLock = 7310577

/** Dropping and creating tables waits for those who use them, and for other processes that do the same. */
const patient = { statementTimeoutMs: 10 * 60_000 }

/** An index of a large table takes its time, and nobody waits for it. */
const unhurried = { statementTimeoutMs: 60 * 60_000 }
/** Building them side by side takes less than PostgreSQL's own workers at one after the other. */
const indexesAtOnce = 2

/**
 * The generation of the live tables. While the read model was in another engine it may have been rebuilt there: what its
 * checkpoints here say still holds for the tables here.
 */
const generationHere = async (transaction: Queryable, name: string): Promise<number> => {
  const [stands] = await transaction.query<{ generation: number }>(
    'select generation from platform.checkpoints where consumer = $1 limit 1',
    [name],
  )
  return stands?.generation ?? liveGeneration(transaction, name)
}

/** What all read models in PostgreSQL have in common: everything but the effect of a batch. */
export interface ReadModelTables extends Omit<CheckpointedStore<StoreBatch>, 'applyBatch'>, Buildable {
  /** The load is over: where its lanes stand, the partitions of the feed stand from now on. Harmless when repeated. */
  settle(consumer: string, partitions: readonly number[]): Promise<void>
  readonly schema: string
  /** Under which name a consumer's checkpoints of this generation are kept. */
  consumerOf(consumer: string): string
  /** What its checkpoints speak of. Comes after `prepare`. */
  of(): CheckpointOf
}

/**
 * @param options.name of the projection, which is also the schema of its live generation
 * @param options.generation default: the live one
 * @param options.create creates the schema and its tables, which do not exist
 * @param options.indexes statements that create what is cheaper to make after a bulk load; harmless when repeated
 */
export const createReadModelTables = (options: {
  readonly database: Database
  readonly name: string
  readonly generation?: number | undefined
  readonly create: (transaction: Queryable, schema: string) => Promise<void>
  readonly indexes?: (schema: string) => readonly string[]
}): ReadModelTables => {
  const { database, name, generation, create, indexes = () => [] } = options
  const schema = generation === undefined ? name : schemaOfGeneration(name, generation)
  const consumerOf = (consumer: string): string =>
    generation === undefined ? consumer : consumerOfGeneration(consumer, generation)
  let prepared: CheckpointOf | undefined
  const of = (): CheckpointOf => {
    if (prepared === undefined) throw new Error(`the tables of ${schema} were not prepared`)
    return prepared
  }
  const lockCreation = (transaction: Queryable) => transaction.query('select pg_advisory_xact_lock($1)', [creationLock])
  const createWhole = async (transaction: Queryable): Promise<void> => {
    await create(transaction, schema)
    // Somebody waits for the live one, and it begins empty.
    if (generation === undefined) for (const statement of indexes(schema)) await transaction.query(statement)
  }
  return {
    schema,
    consumerOf,
    of,
    prepare: (logIdentity) =>
      database.transaction(async (transaction) => {
        await lockCreation(transaction)
        // Even a `create index if not exists` that does nothing waits for every writer of the table.
        const existing = await transaction.query('select 1 from pg_namespace where nspname = $1', [schema])
        if (existing.length === 0) await createWhole(transaction)
        prepared = { logIdentity, generation: generation ?? (await generationHere(transaction, name)) }
      }, patient),
    complete: async () => {
      const statements = indexes(schema)
      const left = statements.values()
      let failed = false
      const build = async (): Promise<void> => {
        for (const statement of left) {
          if (failed) return
          await database
            .transaction(async (transaction) => {
              // A process that died may have left somebody who still builds it.
              await transaction.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [statement])
              if (statements.length > 1) await transaction.query('set local max_parallel_maintenance_workers = 0')
              await transaction.query(statement)
            }, unhurried)
            .catch((error: unknown) => {
              failed = true
              throw error
            })
        }
      }
      const builds = await Promise.allSettled(Array.from({ length: indexesAtOnce }, build))
      for (const outcome of builds) if (outcome.status === 'rejected') throw outcome.reason
    },
    settle: (consumer, partitions) =>
      database.transaction(async (transaction) => {
        const own = consumerOf(consumer)
        const lanes = await transaction.query<{ partition: number; position: bigint }>(
          'select partition, position from platform.checkpoints where consumer = $1 order by partition for update',
          [own],
        )
        const settled =
          lanes.length === partitions.length && lanes.every((lane, index) => lane.partition === partitions[index])
        const [first] = lanes
        if (settled || !first) return
        if (lanes.some(({ position }) => position !== first.position)) throw new Error(`the load of ${own} is not over`)
        const { logIdentity, generation: number } = of()
        await transaction.query('delete from platform.checkpoints where consumer = $1', [own])
        await transaction.query(
          `insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
           select $1, partition, $3, $4, $5 from unnest($2::integer[]) as partition`,
          [own, partitions, first.position, logIdentity, number],
        )
      }),
    checkpoint: (consumer, partition) => readCheckpoint(database, consumerOf(consumer), partition, of().logIdentity),
    reset: (consumer, record) =>
      database.transaction(async (transaction) => {
        // The checkpoint first, as every writer takes it first: the other way round two could block each other.
        await dropCheckpoints(transaction, consumerOf(consumer))
        await lockCreation(transaction)
        await transaction.query(`drop schema if exists ${schema} cascade`)
        // The drop has waited for a writer whose first checkpoint was not committed yet, and so not seen above.
        await dropCheckpoints(transaction, consumerOf(consumer))
        await createWhole(transaction)
        await record?.(transaction)
      }, patient),
  }
}
