import type { Buildable } from './checkpointed-store.ts'
import { moveCheckpoint } from './checkpoints.ts'
import type { Database, Queryable } from './database.ts'
import { type OrderPiece, orderPieces, rankOrders, statusCalled } from './order-ranking.ts'
import { upsertOrders } from './postgres-order-documents.ts'
import { erase, lockErasures } from './postgres-order-erasures.ts'
import { createPostgresOrderScan } from './postgres-order-scan.ts'
import { amendSearch } from './postgres-search-amend.ts'
import { createTrigramExtension } from './postgres-trigrams.ts'
import { createReadModelGenerations } from './read-model-generations.ts'
import { createReadModelTables } from './read-model-tables.ts'
import { onceAs, splitDdl, sqlBeside } from './schema-sql.ts'
import type { OrderBatch, OrderDocument, OrderPerson, OrderSearch } from './search-index.ts'
import { answersMistyped } from './search-question.ts'
import { swapsOf, typosAllowed } from './text-analysis.ts'

/** Candidates that are ranked, of each kind: the newest when there are more. */
const candidateLimit = 200
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const statuses = new Set<string>(['placed', 'confirmed', 'shipped', 'delivered', 'cancelled'])

/** Words that are like the ones asked for, by trigrams or but for two swapped letters. */
const similarWords = async (database: Queryable, schema: string, pieces: readonly OrderPiece[]): Promise<string[]> => {
  const stems = pieces
    .flatMap(({ question }) => question.terms)
    .filter((term) => !term.exact && typosAllowed(term.stem) > 0)
    .map((term) => term.stem)
  const rows = await database.query<{ word: string }>(
    `with ${onceAs('words', `${schema}.words`)}
     select near.word from unnest($1::text[]) asked(stem) cross join lateral (
       select word from words where word % asked.stem group by word
       order by similarity(word, asked.stem) desc, word limit 30
     ) near
     union select word from words where word = any ($2::text[])`,
    [stems, stems.flatMap(swapsOf)],
  )
  return rows.map((row) => row.word)
}

const beginning = (text: string): string => `% ${text.replace(/[\\%_]/g, '\\$&')}%`

/** The condition under which an order has the piece somewhere, or one of the similar words in its place. */
const condition = (
  { text, question }: OrderPiece,
  values: unknown[],
  where: string,
  similar: readonly string[],
): string => {
  if (uuid.test(text)) return `order_id = $${values.push(text)}`
  const begins = (word: string) => `${where} like $${values.push(beginning(word))}`
  const anyOf = (conditions: readonly string[]) => `(${conditions.join(' or ')})`
  const words = question.terms.map((term) => {
    const meant = similar.filter((word) => answersMistyped(term, word) > 0)
    return anyOf([...new Set([term.stem, ...term.synonyms, ...meant])].map(begins))
  })
  const status = statusCalled(text)
  const isStatus = statuses.has(status) ? [`status = $${values.push(status)}`] : []
  return anyOf([begins(text), ...isStatus, ...(words.length > 0 ? [`(${words.join(' and ')})`] : [])])
}

interface Row {
  readonly version: bigint
  readonly document: Omit<OrderDocument, 'person'>
  readonly person: OrderPerson | null
}

const documentOf = ({ document, person }: Row): OrderDocument => ({ ...document, person })

/** Order search over trigrams: ids and words by how they begin, names also by likeness. */
export const createPostgresOrderSearch = (
  database: Database,
  name: string,
  generation?: number,
): OrderSearch & Buildable => {
  const ddl = (schema: string) => splitDdl(sqlBeside(import.meta.url, 'postgres-order-search.sql', schema))
  const tables = createReadModelTables({
    database,
    name,
    generation,
    create: async (transaction, schema) => {
      await createTrigramExtension(transaction)
      await transaction.query(ddl(schema).tables)
    },
    indexes: (schema) => ddl(schema).indexes,
  })
  const { schema } = tables

  const write = async (transaction: Queryable, batch: OrderBatch): Promise<void> => {
    const keyIds = batch.erasures.flatMap((erasure) => erasure.keyIds)
    await lockErasures(transaction, schema, keyIds.length > 0)
    if (keyIds.length > 0) await erase(transaction, schema, keyIds)
    if (batch.upserts.length > 0) await upsertOrders(transaction, schema, batch.upserts)
  }

  const candidates = async (pieces: readonly OrderPiece[], similar: readonly string[]): Promise<OrderDocument[]> => {
    const values: unknown[] = []
    const all = (where: string) => pieces.map((piece) => condition(piece, values, where, similar)).join(' and ')
    const kind = (conditions: string) =>
      `(select version, document, person from orders where ${conditions} order by placed_at desc limit ${candidateLimit})`
    // Those by id and person apart, lest a product of that name crowd them out.
    const text = `with ${onceAs('orders', `${schema}.orders`)} ${kind(`${all('haystack')} and ${all('(ids || person_words)')}`)} union all ${kind(all('haystack'))}`
    const rows = await database.query<Row>(text, values)
    return [...new Map(rows.map((row) => [row.document.orderId, documentOf(row)])).values()]
  }

  return {
    ...tables,
    generations: createReadModelGenerations(database, name, (at) => createPostgresOrderSearch(database, name, at)),
    load: async (orderIds) => {
      const rows = await database.query<Row>(
        `select version, document, person from ${schema}.orders where order_id = any ($1::uuid[])`,
        [orderIds],
      )
      return new Map(
        rows.map((row) => [row.document.orderId, { version: row.version, document: documentOf(row) }] as const),
      )
    },
    applyBatch: async (batch) => {
      const move = { ...batch, consumer: tables.consumerOf(batch.consumer) }
      const idle = batch.upserts.length === 0 && batch.erasures.length === 0
      if (idle && !batch.record) return (await moveCheckpoint(database, move, tables.of())) ? 'applied' : 'fenced'
      return database.transaction(async (transaction) => {
        if (!(await moveCheckpoint(transaction, move, tables.of()))) return 'fenced'
        await batch.record?.(transaction)
        if (!idle) await write(transaction, batch)
        return 'applied'
      })
    },
    scan: createPostgresOrderScan(database, tables),
    amend: (consumer, orderIds, documents) =>
      amendSearch(database, tables.consumerOf(consumer), documents, async (transaction, found) => {
        await transaction.query(`delete from ${schema}.orders where order_id = any ($1::uuid[])`, [orderIds])
        await lockErasures(transaction, schema, false)
        await upsertOrders(transaction, schema, found)
      }),
    search: async ({ q, limit }) => {
      const pieces = orderPieces(q)
      if (pieces.length === 0) return []
      const hits = rankOrders(q, await candidates(pieces, []), limit)
      if (hits.length > 0) return hits
      const similar = await similarWords(database, schema, pieces)
      return similar.length === 0 ? [] : rankOrders(q, await candidates(pieces, similar), limit)
    },
  }
}
