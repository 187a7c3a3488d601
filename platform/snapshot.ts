import type { Database, Transaction } from './database.ts'

/** Reading a large table takes longer than what is asked for elsewhere. */
const patient = { statementTimeoutMs: 10 * 60_000 }

/** Reads everything as of one moment, without keeping anybody from writing. */
export const inSnapshot = <Result>(
  database: Database,
  work: (transaction: Transaction) => Promise<Result>,
): Promise<Result> =>
  database.transaction(async (transaction) => {
    await transaction.query('set transaction isolation level repeatable read, read only')
    // It holds no lock that a writer waits for, and others are read between two of its statements.
    await transaction.query(`set local idle_in_transaction_session_timeout = '10min'`)
    return work(transaction)
  }, patient)

/** Rows of a query, page by page: memory is one page. Not in more than one query of a transaction at a time. */
export async function* pagesOf<Row>(
  transaction: Transaction,
  text: string,
  values: readonly unknown[] = [],
  size = 1_000,
): AsyncGenerator<Row[]> {
  await transaction.query(`declare pages no scroll cursor for ${text}`, values)
  for (;;) {
    const rows = await transaction.query<Row>(`fetch ${size} from pages`)
    if (rows.length > 0) yield rows
    if (rows.length < size) break
  }
  await transaction.query('close pages')
}

/**
 * SQL: some rows of a table at random, cheap on a large one, from pages chosen at random.
 *
 * @param many estimate of the table's rows
 */
export const someOf = (table: string, many: number, wanted: number): string => {
  if (many < 20_000) return `(select * from ${table} order by random() limit ${wanted})`
  const percent = Math.min(100, (wanted * 20 * 100) / many)
  return `(select * from (select * from ${table} tablesample system (${percent})) s order by random() limit ${wanted})`
}

/** The planner's estimate of a table's rows; 0 when it has none yet. */
export const estimateRows = async (transaction: Transaction, table: string): Promise<number> => {
  const [row] = await transaction.query<{ rows: number }>(
    'select greatest(reltuples, 0)::float8 as rows from pg_class where oid = $1::regclass',
    [table],
  )
  return row?.rows ?? 0
}

/** Whether a schema of a read model has been made. */
export const schemaExists = async (transaction: Transaction, schema: string): Promise<boolean> =>
  (await transaction.query('select 1 from pg_namespace where nspname = $1', [schema])).length > 0
