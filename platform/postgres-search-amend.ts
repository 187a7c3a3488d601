import type { Database, Queryable } from './database.ts'
import type { Versioned } from './search-index.ts'
import { readStanding, type Standing } from './standing.ts'

/** Writes documents while every writer of the consumer waits. */
export const amendSearch = <Document>(
  database: Database,
  consumer: string,
  documents: (standing: Standing) => Promise<readonly Versioned<Document>[]>,
  write: (transaction: Queryable, documents: readonly Versioned<Document>[]) => Promise<void>,
): Promise<void> =>
  database.transaction(async (transaction) => {
    await transaction.query('select from platform.checkpoints where consumer = $1 order by partition for update', [
      consumer,
    ])
    await write(transaction, await documents(await readStanding(transaction, consumer)))
  })
