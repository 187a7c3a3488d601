import { lockCheckpoint } from '../platform/checkpoints.ts'
import type { Database, Transaction } from '../platform/database.ts'
import { ReadModelAbsent } from '../platform/failures.ts'
import { estimateRows, inSnapshot, pagesOf, schemaExists, someOf } from '../platform/snapshot.ts'
import { readStanding } from '../platform/standing.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { type Reach, reachOf } from './verify-log.ts'
import type { RowModel } from './verify-model.ts'
import type { FoundRow, RowSource } from './verify-run.ts'

/** A table whose rows a model folds. */
export interface VerifiedTable {
  readonly table: string
  /** Columns that make the key, and their SQL types: the model's key is their values with a space between. */
  readonly key: readonly (readonly [column: string, type: string])[]
  /** The projection's own way to write rows, for a repair. */
  apply(
    transaction: Transaction,
    schema: string,
    events: readonly RecordedEvent[],
    how: { readonly bulk: boolean },
  ): Promise<void>
}

type Row = Readonly<Record<string, unknown>> & { readonly position: bigint }

/** Events that a repair applies at once. */
const together = 1_000

/**
 * The table of a projection in PostgreSQL.
 *
 * @param schema of the generation
 * @param consumer whose checkpoints and parked events are the table's
 */
export const createTableSource = (deps: {
  readonly database: Database
  readonly schema: string
  readonly consumer: string
  readonly model: RowModel
  readonly table: VerifiedTable
  readonly partitionOf: ((stream: string) => number) | undefined
}): RowSource => {
  const { database, schema, consumer, model, partitionOf } = deps
  const { key, apply } = deps.table
  const table = `${schema}.${deps.table.table}`
  const columns = key.map(([column]) => column)
  const condition = `(${columns.join(', ')}) in (select * from unnest(${key.map(([, type], at) => `$${at + 1}::${type}[]`).join(', ')}))`
  const valuesOf = (keys: readonly string[]) => key.map((_, at) => keys.map((each) => each.split(' ')[at] ?? null))
  const toFound = (row: Row): FoundRow => ({
    key: columns.map((column) => String(row[column])).join(' '),
    position: row.position,
    fields: row,
  })

  /** One row, made anew while nobody else writes to its partition. */
  const repair = (each: string, fold: Parameters<RowSource['repair']>[1], before: Reach): Promise<void> =>
    database.transaction(async (transaction) => {
      const origin = model.originOf(each)
      const streams = 'stream' in origin ? [origin.stream] : []
      // A row of the timeline is of a stream that only its event can tell; no late event comes between, as they are
      // written once: any partition will do that keeps a rebuild out.
      await lockCheckpoint(transaction, consumer, streams[0] === undefined ? 0 : before.partitionOf(streams[0]))
      const events = await fold(each, await readStanding(transaction, consumer))
      await transaction.query(`delete from ${table} where ${condition}`, valuesOf([each]))
      for (let from = 0; from < events.length; from += together)
        await apply(transaction, schema, events.slice(from, from + together), { bulk: false })
    })

  return {
    standing: () => readStanding(database, consumer),
    scan: (visit, pick) =>
      inSnapshot(database, async (transaction) => {
        if (!(await schemaExists(transaction, schema))) throw new ReadModelAbsent(`${schema} has not been built yet`)
        const standing = { ...(await readStanding(transaction, consumer)), exact: true }
        await visit({ ...standing, rows: [] })
        if (pick) {
          const some = someOf(table, await estimateRows(transaction, table), pick.random)
          const rows = [
            ...(await transaction.query<Row>(`select * from ${table} where ${condition}`, valuesOf(pick.ids))),
            ...(await transaction.query<Row>(`select * from ${some} r`)),
          ].map(toFound)
          await visit({ ...standing, rows: [...new Map(rows.map((row) => [row.key, row])).values()] })
          return
        }
        for await (const rows of pagesOf<Row>(transaction, `select * from ${table}`))
          await visit({ ...standing, rows: rows.map(toFound) })
      }),
    repair: async (keys, fold) => {
      const before = reachOf(await readStanding(database, consumer), partitionOf)
      for (const each of keys) await repair(each, fold, before)
    },
  }
}
