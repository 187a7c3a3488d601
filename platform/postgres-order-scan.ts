import type { Database, Transaction } from './database.ts'
import { ReadModelAbsent } from './failures.ts'
import { indexedWords, vocabularyOf } from './postgres-order-documents.ts'
import type { ReadModelTables } from './read-model-tables.ts'
import type { OrderDocument, OrderPerson, OrderSearch, ScannedDocument } from './search-index.ts'
import { estimateRows, inSnapshot, pagesOf, schemaExists, someOf } from './snapshot.ts'
import { readStanding } from './standing.ts'

interface Row {
  readonly id: string
  readonly version: bigint
  readonly placed_at: string
  readonly status: string
  readonly ids: string
  readonly words: string
  readonly document: Omit<OrderDocument, 'person'>
  readonly person: OrderPerson | null
  readonly person_key: string | null
  readonly person_words: string
}

const columns =
  'order_id::text as id, version, placed_at, status, ids, words, document, person, person_key, person_words'

/** A document that is no order any more cannot be indexed anew; that it differs is told of itself. */
const isOrder = (document: Partial<Row['document']> | null, person: Partial<OrderPerson> | null): boolean =>
  [document?.orderId, document?.customerId, document?.status].every((text) => typeof text === 'string') &&
  Array.isArray(document?.lines) &&
  document.lines.every((line) => typeof line?.sku === 'string' && typeof line.name === 'string') &&
  (person === null || [person.name, person.email, person.keyId].every((text) => typeof text === 'string'))

const wordless = async (
  transaction: Transaction,
  schema: string,
  rows: readonly Row[],
): Promise<ReadonlySet<string>> => {
  const words = rows.flatMap((row) =>
    vocabularyOf(indexedWords({ ...row.document, person: row.person }).products, row.person).map(
      ([word, keyId]) => [word, keyId, row.id] as const,
    ),
  )
  const missing = await transaction.query<{ id: string }>(
    `select distinct id from unnest($1::text[], $2::uuid[], $3::text[]) as known(word, key_id, id)
     where not exists (select from ${schema}.words w where w.word = known.word and w.key_id = known.key_id)`,
    [words.map(([word]) => word), words.map(([, keyId]) => keyId), words.map(([, , id]) => id)],
  )
  return new Set(missing.map(({ id }) => id))
}

const scanned = async (
  transaction: Transaction,
  schema: string,
  rows: readonly Row[],
): Promise<ScannedDocument<OrderDocument>[]> => {
  const whole = new Set(rows.filter((row) => isOrder(row.document, row.person)))
  const lacking = await wordless(transaction, schema, [...whole])
  return rows.map((row) => {
    const { id, version, person } = row
    const document = { ...row.document, person }
    if (!whole.has(row)) return { id, version, document, spoiled: [] }
    const expected = {
      ...indexedWords(document),
      placed_at: document.placedAt,
      status: document.status,
      person_key: person?.keyId ?? null,
    }
    const fields = ['placed_at', 'status', 'ids', 'words', 'person_key', 'person_words'] as const
    const spoiled: string[] = fields.filter((field) => row[field] !== expected[field])
    return { id, version, document, spoiled: lacking.has(id) ? [...spoiled, 'vocabulary'] : spoiled }
  })
}

/** Every order of the table, as of one moment. */
export const createPostgresOrderScan =
  (database: Database, tables: Pick<ReadModelTables, 'schema' | 'consumerOf'>): OrderSearch['scan'] =>
  (consumer, visit, pick) =>
    inSnapshot(database, async (transaction) => {
      const { schema } = tables
      if (!(await schemaExists(transaction, schema))) throw new ReadModelAbsent(`${schema} has not been built yet`)
      const standing = { ...(await readStanding(transaction, tables.consumerOf(consumer))), exact: true }
      await visit({ ...standing, documents: [] })
      const table = `${schema}.orders`
      const select = `select ${columns} from`
      const show = async (rows: readonly Row[]) =>
        visit({ ...standing, documents: await scanned(transaction, schema, rows) })
      if (!pick) for await (const rows of pagesOf<Row>(transaction, `${select} ${table}`)) await show(rows)
      else {
        const some = someOf(table, await estimateRows(transaction, table), pick.random)
        const rows = [
          ...(await transaction.query<Row>(`${select} ${table} where order_id::text = any ($1::text[])`, [pick.ids])),
          ...(await transaction.query<Row>(`${select} ${some} r`)),
        ]
        await show([...new Map(rows.map((row) => [row.id, row])).values()])
      }
    })
