import type { Database, Queryable } from './database.ts'
import { everyGeneration } from './every-generation.ts'

/** Without the lock an erasure and the writing of a document that was opened before it could each miss the other. */
export const lockErasures = async (transaction: Queryable, schema: string, alone: boolean): Promise<void> => {
  const lock = alone ? 'pg_advisory_xact_lock' : 'pg_advisory_xact_lock_shared'
  await transaction.query(`select ${lock}(7310576, hashtext($1))`, [schema])
}

/** Takes persons out of a schema, and keeps in mind that nobody is to write them again. */
export const erase = async (transaction: Queryable, schema: string, keyIds: readonly string[]): Promise<void> => {
  await transaction.query(
    `insert into ${schema}.forgotten_keys (key_id) select unnest($1::uuid[]) on conflict do nothing`,
    [keyIds],
  )
  await transaction.query(
    `update ${schema}.orders set person = null, person_key = null, person_words = '' where person_key = any ($1::uuid[])`,
    [keyIds],
  )
  await transaction.query(`delete from ${schema}.words where key_id = any ($1::uuid[])`, [keyIds])
}

/** Takes persons out of every generation of the order search, whichever is live. @throws EngineUnavailable */
export const eraseInEveryGeneration = (database: Database, name: string, keyIds: readonly string[]): Promise<void> =>
  everyGeneration(database, { name, table: 'orders', column: 'person_key' }, async (transaction, schema) => {
    await lockErasures(transaction, schema, true)
    await erase(transaction, schema, keyIds)
  })
