import type { Queryable } from './database.ts'
import { orderWords } from './order-ranking.ts'
import type { OrderDocument, OrderPerson, Versioned } from './search-index.ts'
import { stemsOf, typosAllowed } from './text-analysis.ts'

/** Stands for the key of words that belong to nobody. */
const nilKey = '00000000-0000-0000-0000-000000000000'

const spaced = (words: readonly string[]): string => [...new Set(words)].map((word) => ` ${word}`).join('')

/** An order's words as the table holds them. */
export const indexedWords = (document: OrderDocument) => {
  const words = orderWords(document)
  return {
    ids: spaced(words.ids),
    words: spaced([...words.products, ...words.codes]),
    person_words: spaced(words.person),
    products: words.products,
  }
}

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

/** The words that a vocabulary has of an order, each with the key that it goes with. */
export const vocabularyOf = (products: readonly string[], person: OrderPerson | null): [string, string][] =>
  [
    ...products.map((word): [string, string] => [word, nilKey]),
    ...(person ? stemsOf(person.name).map((word): [string, string] => [word, person.keyId]) : []),
  ].filter(([word]) => typosAllowed(word) > 0)

/** Remembers the words of orders that are new here; later events of an order bring none. */
const learn = async (
  transaction: Queryable,
  schema: string,
  orders: readonly { readonly products: readonly string[]; readonly person: OrderPerson | null }[],
): Promise<void> => {
  const words = new Map<string, [word: string, keyId: string]>()
  for (const { products, person } of orders)
    for (const [word, keyId] of vocabularyOf(products, person)) words.set(`${word} ${keyId}`, [word, keyId])
  // Sorted, lest two partitions that learn the same words wait for each other.
  const rows = [...words].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
  await transaction.query(
    `insert into ${schema}.words (word, key_id) select * from unnest($1::text[], $2::uuid[]) on conflict do nothing`,
    [rows.map(([word]) => word), rows.map(([, keyId]) => keyId)],
  )
}

/** Writes orders; of one that is there already, a newer version only. */
export const upsertOrders = async (
  transaction: Queryable,
  schema: string,
  upserts: readonly Versioned<OrderDocument>[],
): Promise<void> => {
  const rows = upserts
    .map(({ version, document }) => ({ version, document, words: indexedWords(document) }))
    .sort((a, b) => (a.document.orderId < b.document.orderId ? -1 : 1))
  const column = (value: (document: OrderDocument) => unknown) => rows.map(({ document }) => value(document))
  const written = await transaction.query<{ order_id: string; person_key: string | null; added: boolean }>(
    upsertSql(schema),
    [
      column((document) => document.orderId),
      rows.map(({ version }) => version),
      column((document) => document.placedAt),
      column((document) => document.status),
      rows.map(({ words }) => words.ids),
      rows.map(({ words }) => words.words),
      column(({ person: _, ...document }) => JSON.stringify(document)),
      column(({ person }) => person && JSON.stringify(person)),
      column(({ person }) => person?.keyId ?? null),
      rows.map(({ words }) => words.person_words),
    ],
  )
  const added = new Map(written.flatMap((row) => (row.added ? [[row.order_id, row.person_key !== null] as const] : [])))
  const learnt = rows.flatMap(({ document, words: { products } }) => {
    const person = added.get(document.orderId.toLowerCase())
    return person === undefined ? [] : [{ products, person: person ? document.person : null }]
  })
  if (learnt.length > 0) await learn(transaction, schema, learnt)
}
