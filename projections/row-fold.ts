import type { Statement, Transaction } from '../platform/database.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { copyLines } from './row-copy.ts'

/** A table of which every row is folded from one stream; each also has that stream's `revision` and `position`. */
export interface RowTable {
  readonly table: string
  readonly key: string
  /** SQL type of every column, the key included; the names are those of the row in code. */
  readonly columns: Readonly<Record<string, string>>
}

/** The row as evolve sees it; the last event's place in its stream and in the log is added when it is written. */
type Written<Row> = Row & { readonly revision: string; readonly position: string }

const stamps = { revision: 'bigint', position: 'bigint' }

interface RowStatements {
  /** Rows of some keys, as JSON. */
  readonly load: Statement
  /** Many rows at once, new or not. */
  readonly save: Statement
  /** Many rows at once, all of them new. */
  readonly copy: string
  readonly columns: readonly (readonly [name: string, type: string])[]
}

const writeStatements = (schema: string, { table, key, columns }: RowTable): RowStatements => {
  const all = { ...columns, ...stamps }
  const names = Object.keys(all)
  const definition = Object.entries(all).map(([name, type]) => `${name} ${type}`)
  const assignments = names.filter((name) => name !== key).map((name) => `${name} = excluded.${name}`)
  return {
    load: {
      name: `${schema}_load`,
      text: `select to_json(r) as row from (select ${Object.keys(columns).join(', ')} from ${schema}.${table}
        where ${key} = any ($1::${columns[key]}[])) r`,
    },
    save: {
      name: `${schema}_save`,
      text: `insert into ${schema}.${table} (${names.join(', ')})
        select ${names.join(', ')} from json_to_recordset($1) as r(${definition.join(', ')})
        on conflict (${key}) do update set ${assignments.join(', ')}`,
    },
    copy: `copy ${schema}.${table} (${names.join(', ')}) from stdin`,
    columns: Object.entries(all),
  }
}

/** The statements of a table for any schema it is built in. */
export const rowStatements = (table: RowTable): ((schema: string) => RowStatements) => {
  const known = new Map<string, RowStatements>()
  return (schema) => {
    const statements = known.get(schema) ?? writeStatements(schema, table)
    known.set(schema, statements)
    return statements
  }
}

/** Rows of one statement: the server writes some while the next are put into words. */
const rowsPerSave = 250

/**
 * Folds a batch into a table with few statements: rows of streams that began earlier are loaded at once, those whose
 * first event is in the batch need not be; each is written once.
 *
 * @param keyOf the key of an event's row; one stream has one key
 */
export const foldRows = async <Row extends object, Event extends RecordedEvent<DomainEvent>>(
  transaction: Transaction,
  statements: RowStatements,
  fold: {
    readonly events: readonly Event[]
    readonly keyOf: (event: Event) => string
    readonly keyOfRow: (row: Row) => string
    readonly evolve: (row: Row | undefined, event: Event) => Row
    /** Within a transaction, of a generation that is loaded: rows whose first event is here cannot exist yet. */
    readonly bulk?: boolean
  },
): Promise<void> => {
  if (fold.events.length === 0) return
  /** A row on its way: as one entry, since to look a key up costs more than to fold an event. */
  interface Folding {
    readonly events: Event[]
    /** Its first event is here. */
    readonly fresh: boolean
  }
  const folding = new Map<string, Folding>()
  const missing: string[] = []
  for (const event of fold.events) {
    const key = fold.keyOf(event)
    const known = folding.get(key)
    if (known) known.events.push(event)
    else {
      const fresh = event.revision === 0n
      folding.set(key, { events: [event], fresh })
      if (!fresh) missing.push(key)
    }
  }
  const loaded = new Map<string, Row>()
  if (missing.length > 0)
    for (const { row } of await transaction.execute<{ row: Row }>(statements.load, [missing]))
      loaded.set(fold.keyOfRow(row), row)

  const known: Written<Row>[] = []
  const fresh: Written<Row>[] = []
  for (const [key, { events, fresh: isFresh }] of folding) {
    let row = isFresh ? undefined : loaded.get(key)
    for (const event of events) row = fold.evolve(row, event)
    const last = events.at(-1)
    if (!row || !last) continue
    const written = { ...row, revision: last.revision.toString(), position: last.position.toString() }
    if (fold.bulk && isFresh) fresh.push(written)
    else known.push(written)
  }
  let saving: Promise<unknown> = Promise.resolve()
  for (let index = 0; index < known.length; index += rowsPerSave) {
    const rowsOfOne = JSON.stringify(known.slice(index, index + rowsPerSave))
    await saving
    saving = transaction.execute(statements.save, [rowsOfOne])
  }
  await saving
  if (fresh.length > 0) await transaction.copy?.(statements.copy, copyLines(statements.columns, fresh))
}
