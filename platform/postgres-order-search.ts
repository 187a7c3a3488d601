import { moveCheckpoint } from './checkpoints.ts'
import type { Database, Queryable } from './database.ts'
import { type OrderPiece, type OrderWords, orderPieces, orderWords, rankOrders, statusCalled } from './order-ranking.ts'
import { sqlBeside } from './postgres-schema.ts'
import { createTrigramExtension } from './postgres-trigrams.ts'
import { createReadModelTables } from './read-model-tables.ts'
import type { OrderBatch, OrderDocument, OrderPerson, OrderSearch, Versioned } from './search-index.ts'
import { answersMistyped } from './search-question.ts'
import { stemsOf, swapsOf, typosAllowed } from './text-analysis.ts'

/** Candidates that are ranked, of each kind: the newest when there are more. */
const candidateLimit = 200
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const nilKey = '00000000-0000-0000-0000-000000000000'
const statuses = new Set<string>(['placed', 'confirmed', 'shipped', 'delivered', 'cancelled'])

const spaced = (words: readonly string[]): string => [...new Set(words)].map((word) => ` ${word}`).join('')

const upsertSql = (schema: string) => `
  insert into ${schema}.orders as o
    (order_id, version, placed_at, status, ids, words, document, person, person_key, person_words)
  select d.order_id, d.version, d.placed_at, d.status, d.ids, d.words, d.document,
    case when f.key_id is null then d.person end, case when f.key_id is null then d.person_key end,
    case when f.key_id is null then d.person_words else '' end
  from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::json[], $8::json[],
    $9::uuid[], $10::text[])
    as d(order_id, version, placed_at, status, ids, words, document, person, person_key, person_words)
  left join ${schema}.forgotten_keys f on f.key_id = d.person_key
  on conflict (order_id) do update set version = excluded.version, placed_at = excluded.placed_at,
    status = excluded.status, ids = excluded.ids, words = excluded.words, document = excluded.document,
    person = excluded.person, person_key = excluded.person_key, person_words = excluded.person_words
  where o.version < excluded.version
  returning order_id, person_key, xmax = 0 as added`

/** Remembers the words of orders that are new here; later events of an order bring none. */
const learn = async (
  transaction: Queryable,
  schema: string,
  orders: readonly { readonly products: readonly string[]; readonly person: OrderPerson | null }[],
): Promise<void> => {
  const words = new Map<string, [word: string, keyId: string]>()
  const remember = (word: string, keyId: string) => {
    if (typosAllowed(word) > 0) words.set(`${word} ${keyId}`, [word, keyId])
  }
  for (const { products, person } of orders) {
    for (const word of products) remember(word, nilKey)
    if (person) for (const word of stemsOf(person.name)) remember(word, person.keyId)
  }
  // Sorted, lest two partitions that learn the same words wait for each other.
  const rows = [...words].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
  await transaction.query(
    `insert into ${schema}.words (word, key_id) select * from unnest($1::text[], $2::uuid[]) on conflict do nothing`,
    [rows.map(([word]) => word), rows.map(([, keyId]) => keyId)],
  )
}

const upsert = async (
  transaction: Queryable,
  schema: string,
  upserts: readonly Versioned<OrderDocument>[],
): Promise<void> => {
  const rows = upserts
    .map(({ version, document }) => ({ version, document, words: orderWords(document) }))
    .sort((a, b) => (a.document.orderId < b.document.orderId ? -1 : 1))
  const column = (value: (document: OrderDocument) => unknown) => rows.map(({ document }) => value(document))
  const words = (value: (words: OrderWords) => readonly string[]) => rows.map((row) => spaced(value(row.words)))
  const written = await transaction.query<{ order_id: string; person_key: string | null; added: boolean }>(
    upsertSql(schema),
    [
      column((document) => document.orderId),
      rows.map(({ version }) => version),
      column((document) => document.placedAt),
      column((document) => document.status),
      words(({ ids }) => ids),
      words(({ products, codes }) => [...products, ...codes]),
      column(({ person: _, ...document }) => JSON.stringify(document)),
      column(({ person }) => person && JSON.stringify(person)),
      column(({ person }) => person?.keyId ?? null),
      words(({ person }) => person),
    ],
  )
  const added = new Map(written.flatMap((row) => (row.added ? [[row.order_id, row.person_key !== null] as const] : [])))
  const learnt = rows.flatMap(({ document, words: { products } }) => {
    const person = added.get(document.orderId.toLowerCase())
    return person === undefined ? [] : [{ products, person: person ? document.person : null }]
  })
  if (learnt.length > 0) await learn(transaction, schema, learnt)
}

const erase = async (transaction: Queryable, schema: string, keyIds: readonly string[]): Promise<void> => {
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

/** Words that are like the ones asked for, by trigrams or but for two swapped letters. */
const similarWords = async (database: Queryable, schema: string, pieces: readonly OrderPiece[]): Promise<string[]> => {
  const stems = pieces
    .flatMap(({ question }) => question.terms)
    .filter((term) => !term.exact && typosAllowed(term.stem) > 0)
    .map((term) => term.stem)
  const rows = await database.query<{ word: string }>(
    `select near.word from unnest($1::text[]) asked(stem) cross join lateral (
       select word from ${schema}.words where word % asked.stem group by word
       order by similarity(word, asked.stem) desc, word limit 30
     ) near
     union select word from ${schema}.words where word = any ($2::text[])`,
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
export const createPostgresOrderSearch = (database: Database, schema: string): OrderSearch => {
  const ddl = sqlBeside(import.meta.url, 'postgres-order-search.sql', schema)
  const { logIdentity, ...tables } = createReadModelTables({
    database,
    schema,
    create: async (transaction) => {
      await createTrigramExtension(transaction)
      await transaction.query(ddl)
    },
  })

  const write = async (transaction: Queryable, batch: OrderBatch): Promise<void> => {
    const keyIds = batch.erasures.flatMap((erasure) => erasure.keyIds)
    // Without the lock an erasure and the writing of a document that was opened before it could each miss the other.
    const lock = keyIds.length > 0 ? 'pg_advisory_xact_lock' : 'pg_advisory_xact_lock_shared'
    await transaction.query(`select ${lock}(7310576, hashtext($1))`, [schema])
    if (keyIds.length > 0) await erase(transaction, schema, keyIds)
    if (batch.upserts.length > 0) await upsert(transaction, schema, batch.upserts)
  }

  const candidates = async (pieces: readonly OrderPiece[], similar: readonly string[]): Promise<OrderDocument[]> => {
    const values: unknown[] = []
    const all = (where: string) => pieces.map((piece) => condition(piece, values, where, similar)).join(' and ')
    const kind = (conditions: string) =>
      `(select version, document, person from ${schema}.orders where ${conditions} order by placed_at desc limit ${candidateLimit})`
    // Those by id and person apart, lest a product of that name crowd them out.
    const text = `${kind(`${all('haystack')} and ${all('(ids || person_words)')}`)} union all ${kind(all('haystack'))}`
    const rows = await database.query<Row>(text, values)
    return [...new Map(rows.map((row) => [row.document.orderId, documentOf(row)])).values()]
  }

  return {
    ...tables,
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
      const idle = batch.upserts.length === 0 && batch.erasures.length === 0
      if (idle && !batch.record) return (await moveCheckpoint(database, batch, logIdentity())) ? 'applied' : 'fenced'
      return database.transaction(async (transaction) => {
        if (!(await moveCheckpoint(transaction, batch, logIdentity()))) return 'fenced'
        await batch.record?.(transaction)
        if (!idle) await write(transaction, batch)
        return 'applied'
      })
    },
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
