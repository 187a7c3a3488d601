import type { Queryable } from './database.ts'
import { productWords } from './product-ranking.ts'
import type { ProductDocument, Versioned } from './search-index.ts'
import { fold } from './text-analysis.ts'

/** SQL: products as the table holds them, of the parameters $1 to $12. */
export const indexedProducts = `
  select sku, sku_folded, version, brand, category, accessory,
    setweight(to_tsvector('simple', itself), 'A') || setweight(to_tsvector('simple', made_for), 'C')
      || setweight(to_tsvector('simple', kind), 'B') || setweight(to_tsvector('simple', description), 'D')
      || setweight(to_tsvector('simple', compounds), 'A') as words, document
  from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::json[])
    as d(sku, sku_folded, version, brand, category, accessory, itself, made_for, kind, description, compounds, document)`

const upsertSql = (schema: string) => `
  insert into ${schema}.products as p (sku, sku_folded, version, brand, category, accessory, words, document)
  ${indexedProducts}
  on conflict (sku) do update set sku_folded = excluded.sku_folded, version = excluded.version, brand = excluded.brand,
    category = excluded.category, accessory = excluded.accessory, words = excluded.words, document = excluded.document
  where p.version < excluded.version`

/** The parameters of `indexedProducts`, and the words that the vocabulary must have of each product. */
export const indexProducts = (products: readonly Versioned<ProductDocument>[]) => {
  const rows = products.map(({ version, document }) => ({ version, document, words: productWords(document) }))
  const column = (value: (row: (typeof rows)[number]) => unknown) => rows.map(value)
  return {
    values: [
      column(({ document }) => document.sku),
      column(({ document }) => fold(document.sku)),
      column(({ version }) => version),
      column(({ document }) => fold(document.brand)),
      column(({ document }) => fold(document.category)),
      column(({ words }) => words.accessory),
      column(({ words }) => words.itself.join(' ')),
      column(({ words }) => words.madeFor.join(' ')),
      column(({ words }) => [...words.brand, ...words.category].join(' ')),
      column(({ words }) => words.description().join(' ')),
      column(({ words }) => words.compounds.join(' ')),
      column(({ document }) => JSON.stringify(document)),
    ],
    vocabulary: rows.map(({ words }) => [
      ...words.itself,
      ...words.madeFor,
      ...words.brand,
      ...words.category,
      ...words.compounds,
    ]),
  }
}

/** Writes products; of one that is there already, a newer version only. */
export const upsertProducts = async (
  transaction: Queryable,
  schema: string,
  upserts: readonly Versioned<ProductDocument>[],
): Promise<void> => {
  const { values, vocabulary } = indexProducts([...upserts].sort((a, b) => (a.document.sku < b.document.sku ? -1 : 1)))
  await transaction.query(upsertSql(schema), values)
  await transaction.query(`insert into ${schema}.words (word) select unnest($1::text[]) on conflict do nothing`, [
    [...new Set(vocabulary.flat())].sort(),
  ])
}
