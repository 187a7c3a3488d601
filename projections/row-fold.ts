import type { Database, Statement, Transaction } from '../platform/database.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { copyRows, rowWriter, type WriteRow } from './row-copy.ts'

/** A table of which every row is folded from one stream; each also has that stream's `revision` and `position`. */
export interface RowTable {
  readonly table: string
  readonly key: string
  /** SQL type of every column, the key included; the names are those of the row in code. */
  readonly columns: Readonly<Record<string, string>>
}

/** How the events of a stream make a row. */
export interface RowEffect<Row extends object, Event extends All, All extends RecordedEvent, Told> {
  readonly table: RowTable
  /** Which events make rows; default: all. The others are for `admit` and `conclude`. */
  readonly isOfRow?: (event: All) => event is Event
  /** One stream has one key. */
  readonly keyOf: (event: Event) => string
  readonly keyOfRow: (row: Row) => string
  /** What evolving these events takes besides them. Harmless when repeated; what it does is not undone when they fail. */
  readonly prepare: (events: readonly All[]) => Promise<Told>
  readonly evolve: (row: Row | undefined, event: Event, told: Told) => Row
  /** In the transaction that writes them, before that: what of each row may be written now. */
  readonly admit?: (
    transaction: Transaction,
    schema: string,
    rows: Iterable<Row>,
    others: readonly All[],
  ) => Promise<(row: Row) => Row>
  /** In the same transaction, after that. */
  readonly conclude?: (transaction: Transaction, schema: string, others: readonly All[]) => Promise<void>
}

const stamps = { revision: 'bigint', position: 'bigint' }

interface RowStatements {
  /** Rows of some keys, as JSON. */
  readonly load: Statement
  /** Many rows at once, new or not. */
  readonly save: Statement
  /** Many rows at once, all of them new. */
  readonly copy: string
  /** A row of that. */
  readonly writeRow: WriteRow
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
    copy: `copy ${schema}.${table} (${names.join(', ')}) from stdin with (format binary)`,
    writeRow: rowWriter(Object.entries(columns)),
  }
}

/** A row that is to be written, and the last event in it. */
interface Folded<Row> {
  readonly row: Row
  readonly revision: bigint
  readonly position: bigint
  /** Its first event is among those that were folded: there is no such row yet. */
  readonly fresh: boolean
}

/** A row on its way there; it has none before its first event. */
interface Folding<Row> {
  row: Row | undefined
  revision: bigint
  position: bigint
  readonly fresh: boolean
}

const stamped = <Row>({ row, revision, position }: Folded<Row>) => ({
  ...row,
  revision: revision.toString(),
  position: position.toString(),
})

/** Rows of one statement: the server writes some while the next are put into words. */
const rowsPerSave = 250

/** Effects of many batches on their way into a table that nobody else writes to. */
export interface RowWindow<All> {
  /** Folds events, all or none of them, on top of what was folded before. */
  fold(events: readonly All[]): Promise<void>
  /** Begins a new window. @returns writes what the old one has, and may be repeated; comes to its end before the next window begins */
  turn(): (transaction: Transaction) => Promise<void>
  /** Rows may be written by others from now on: what was kept of them is not to be relied upon. Only after a turn. */
  forget(): void
}

/** An effect on the tables of a read model. */
export interface Effect<All> {
  /**
   * Applies events in log order. Whatever it writes, it writes through the transaction.
   *
   * @param how.bulk into a generation that is being built: rows may travel by COPY
   */
  (transaction: Transaction, schema: string, events: readonly All[], how: { readonly bulk: boolean }): Promise<void>
  /** Of rows that are each made of one stream: applies them in windows that are larger than a batch. */
  readonly openWindow?: (database: Database, schema: string) => RowWindow<All>
}

/**
 * Folds batches into a table with few statements: rows of streams that began earlier are loaded at once, those whose
 * first event is in the batch need not be; each is written once.
 */
export const rowEffect = <Row extends object, Event extends All, All extends RecordedEvent, Told>(
  effect: RowEffect<Row, Event, All, Told>,
): Effect<All> => {
  const { table, isOfRow, keyOf, keyOfRow, prepare, evolve, admit, conclude } = effect
  const known = new Map<string, RowStatements>()
  const statementsOf = (schema: string): RowStatements => {
    const statements = known.get(schema) ?? writeStatements(schema, table)
    known.set(schema, statements)
    return statements
  }
  const isOther = (event: All): boolean => isOfRow !== undefined && !isOfRow(event)

  /** @param find a row that was folded and need not be loaded */
  const fold = async (
    events: readonly All[],
    load: (keys: readonly string[]) => Promise<readonly { readonly row: Row }[]>,
    find?: (key: string) => Folded<Row> | undefined,
  ): Promise<Map<string, Folded<Row>>> => {
    const told = await prepare(events)
    const folding = new Map<string, Folding<Row>>()
    const missing: string[] = []
    for (const event of events) {
      if (isOther(event)) continue
      const key = keyOf(event as Event)
      if (folding.has(key)) continue
      const { revision, position } = event
      const begins = revision === 0n
      const found = begins ? undefined : find?.(key)
      folding.set(key, { row: found?.row, revision, position, fresh: found?.fresh ?? begins })
      if (!begins && !found) missing.push(key)
    }
    if (missing.length > 0)
      for (const { row } of await load(missing)) {
        const loaded = folding.get(keyOfRow(row))
        if (loaded) loaded.row = row
      }
    for (const event of events) {
      if (isOther(event)) continue
      const ofRow = event as Event
      const one = folding.get(keyOf(ofRow))
      if (!one) continue
      one.row = evolve(one.row, ofRow, told)
      one.revision = ofRow.revision
      one.position = ofRow.position
    }
    return folding as Map<string, Folded<Row>>
  }

  const write = async (
    transaction: Transaction,
    schema: string,
    folded: ReadonlyMap<string, Folded<Row>>,
    others: readonly All[],
    bulk: boolean,
  ): Promise<void> => {
    const statements = statementsOf(schema)
    const all = [...folded.values()]
    const admitted = await admit?.(
      transaction,
      schema,
      all.map(({ row }) => row),
      others,
    )
    const now = admitted ? all.map((each) => ({ ...each, row: admitted(each.row) })) : all
    const later = bulk ? now.filter(({ fresh }) => !fresh) : now
    const fresh = bulk ? now.filter((each) => each.fresh) : []
    if (fresh.length > 0)
      await transaction.copy?.(
        statements.copy,
        copyRows(
          fresh,
          (bytes, { row, revision, position }) => statements.writeRow(bytes, row, [revision, position]),
          // What the server makes of it, it says of this way as of the other.
          (each) => later.push(each),
        ),
      )
    let saving: Promise<unknown> = Promise.resolve()
    for (let index = 0; index < later.length; index += rowsPerSave) {
      const rowsOfOne = JSON.stringify(later.slice(index, index + rowsPerSave).map(stamped))
      await saving
      saving = transaction.execute(statements.save, [rowsOfOne])
    }
    await saving
    await conclude?.(transaction, schema, others)
  }

  const loadFrom = (transaction: Transaction, schema: string) => (keys: readonly string[]) =>
    transaction.execute<{ row: Row }>(statementsOf(schema).load, [keys])

  const apply: Effect<All> = async (transaction, schema, events, { bulk }) => {
    if (events.length === 0) return
    const folded = await fold(events, loadFrom(transaction, schema))
    await write(transaction, schema, folded, events.filter(isOther), bulk)
  }

  const openWindow = (database: Database, schema: string): RowWindow<All> => {
    let current = new Map<string, Folded<Row>>()
    let others: All[] = []
    /** Of the window before: written or about to be, and as good as a row of the table. */
    let former: ReadonlyMap<string, Folded<Row>> = new Map()
    const find = (key: string): Folded<Row> | undefined => {
      const here = current.get(key)
      if (here) return here
      const there = former.get(key)
      return there && { ...there, fresh: false }
    }
    return {
      fold: async (events) => {
        for (const [key, folded] of await fold(events, loadFrom(database, schema), find)) current.set(key, folded)
        if (isOfRow) others.push(...events.filter(isOther))
      },
      turn: () => {
        const [rows, besides] = [current, others]
        former = current
        current = new Map()
        others = []
        return (transaction) => write(transaction, schema, rows, besides, true)
      },
      forget: () => {
        former = new Map()
      },
    }
  }

  return Object.assign(apply, { openWindow })
}
