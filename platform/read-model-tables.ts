import type { CheckpointedStore, StoreBatch } from './checkpointed-store.ts'
import { dropCheckpoints, readCheckpoint } from './checkpoints.ts'
import type { Database, Queryable } from './database.ts'

/** Ours alone: two processes that create the same tables at once would otherwise meet in the catalogue and fail. */
const creationLock = 7310577

/** Dropping and creating tables waits for those who use them, and for other processes that do the same. */
const patient = { statementTimeoutMs: 10 * 60_000 }

/** What all read models in PostgreSQL have in common: everything but the effect of a batch. */
export const createReadModelTables = (options: {
  readonly database: Database
  readonly schema: string
  /** Creates the schema and its tables, which do not exist. */
  readonly create: (transaction: Queryable) => Promise<void>
}): Omit<CheckpointedStore<StoreBatch>, 'applyBatch'> & { logIdentity(): string } => {
  const { database, schema, create } = options
  let prepared: string | undefined
  const logIdentity = (): string => {
    if (prepared === undefined) throw new Error(`the tables of ${schema} were not prepared`)
    return prepared
  }
  const lockCreation = (transaction: Queryable) => transaction.query('select pg_advisory_xact_lock($1)', [creationLock])
  return {
    logIdentity,
    prepare: async (identity) => {
      prepared = identity
      await database.transaction(async (transaction) => {
        await lockCreation(transaction)
        // Even a `create index if not exists` that does nothing waits for every writer of the table.
        const existing = await transaction.query('select 1 from pg_namespace where nspname = $1', [schema])
        if (existing.length === 0) await create(transaction)
      }, patient)
    },
    checkpoint: (consumer, partition) => readCheckpoint(database, consumer, partition, logIdentity()),
    reset: (consumer, record) =>
      database.transaction(async (transaction) => {
        // The checkpoint first, as every writer takes it first: the other way round two could block each other.
        await dropCheckpoints(transaction, consumer)
        await lockCreation(transaction)
        await transaction.query(`drop schema if exists ${schema} cascade`)
        // The drop has waited for a writer whose first checkpoint was not committed yet, and so not seen above.
        await dropCheckpoints(transaction, consumer)
        await create(transaction)
        await record?.(transaction)
      }, patient),
  }
}
