import type { Database, Queryable } from './database.ts'

/** Waits for a swap that is under way, and for the tables of former generations. */
const patient = { statementTimeoutMs: 60_000 }

/**
 * Works on every generation of a read model in PostgreSQL, in one transaction: the live one, the one that is built, and
 * those that are kept. None takes the place of another meanwhile.
 *
 * @param model.column generations of another version may be without this column of the table, and are left out then
 * @throws EngineUnavailable
 */
export const everyGeneration = (
  database: Database,
  { name, table, column }: { readonly name: string; readonly table: string; readonly column: string },
  work: (transaction: Queryable, schema: string) => Promise<void>,
): Promise<void> =>
  database.transaction(async (transaction) => {
    // A swap takes these first: until the end of this transaction a schema has the name that it was found under.
    await transaction.query('select from platform.checkpoints where consumer = $1 order by partition for update', [
      name,
    ])
    const found = await transaction.query<{ schema: string }>(
      `select n.nspname as schema from pg_namespace n
       join pg_class c on c.relnamespace = n.oid and c.relname = $2
       join pg_attribute a on a.attrelid = c.oid and a.attname = $3 and not a.attisdropped
       where n.nspname = $1 or n.nspname ~ ('^' || $1 || '_g[0-9]+$') order by 1`,
      [name, table, column],
    )
    for (const { schema } of found) await work(transaction, schema)
  }, patient)
