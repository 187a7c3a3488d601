import { Type } from 'typebox'
import type { Database, Statement } from '../platform/database.ts'
import { onceAs } from '../platform/schema-sql.ts'
import { Sku } from '../schemas/primitives.ts'
import type { ListProductsQuery } from '../schemas/queries.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'

export interface ProductRow {
  readonly sku: string
  readonly name: string
  readonly description: string
  readonly brand: string
  readonly category: string
  readonly price_amount: bigint
  readonly currency: string
  readonly registered_at: string
  readonly updated_at: string
  readonly revision: bigint
}

export const toProduct = (row: ProductRow) => ({
  sku: row.sku,
  revision: String(row.revision),
  name: row.name,
  description: row.description,
  brand: row.brand,
  category: row.category,
  price: { amount: Number(row.price_amount), currency: row.currency },
  registeredAt: row.registered_at,
  updatedAt: row.updated_at,
})

type Condition = 'category' | 'brand' | 'price'

/** Category, brand, currency, lowest and highest price are parameters 1 to 5. Prices compare within a currency only. */
const conditions: Readonly<Record<Condition, string>> = {
  category: '($1::text is null or category = $1)',
  brand: '($2::text is null or brand = $2)',
  price: `($3::text is null or currency = $3) and ($4::bigint is null or price_amount >= $4)
    and ($5::bigint is null or price_amount <= $5)`,
}

const matching = (...names: readonly Condition[]): string => names.map((name) => conditions[name]).join(' and ')

const pageStatement: Statement = {
  name: 'products',
  text: `select sku, name, description, brand, category, price_amount, currency, registered_at, updated_at, revision
    from catalogue.products
    where ${matching('category', 'brand', 'price')} and ($6::text is null or sku > $6) order by sku limit $7`,
}

/** Values of a facet at most, those with the most products first. */
const maxFacetValues = 100

/** A facet ignores its own filter: it shows what choosing another value would give. */
const facetStatement: Statement = {
  name: 'product_facets',
  text: `with ${onceAs('products', 'catalogue.products')} select
    (select coalesce(json_agg(f), '[]') from (
      select category as value, count(*)::int as "productCount" from products
      where ${matching('brand', 'price')} group by 1 order by 2 desc, 1 limit ${maxFacetValues}) f) as categories,
    (select coalesce(json_agg(f), '[]') from (
      select brand as value, count(*)::int as "productCount" from products
      where ${matching('category', 'price')} group by 1 order by 2 desc, 1 limit ${maxFacetValues}) f) as brands,
    (select coalesce(json_agg(f), '[]') from (
      select currency, min(price_amount) as "minAmount", max(price_amount) as "maxAmount",
        count(*)::int as "productCount" from products
      where ${matching('category', 'brand')} and ($3::text is null or currency = $3)
      group by 1 order by 4 desc, 1 limit ${maxFacetValues}) f) as prices`,
}

interface FacetValue {
  readonly value: string
  readonly productCount: number
}

interface FacetRow {
  readonly categories: FacetValue[]
  readonly brands: FacetValue[]
  readonly prices: { currency: string; minAmount: number; maxAmount: number; productCount: number }[]
}

const toFacets = ({ categories, brands, prices }: FacetRow) => ({
  categories,
  brands,
  prices: prices.map(({ currency, minAmount, maxAmount, productCount }) => ({
    min: { amount: minAmount, currency },
    max: { amount: maxAmount, currency },
    productCount,
  })),
})

const Key = Type.Tuple([Sku], { additionalItems: false, minItems: 1 })

/**
 * One page of products by SKU; the first page brings the facets.
 *
 * @throws CommandRejected `invalid-cursor`
 */
export const listProducts = async (database: Database, query: ListProductsQuery) => {
  const [after = null] = decodeCursor('products', query, Key) ?? []
  const limit = query.limit ?? 50
  const filter = [query.category, query.brand, query.currency, query.priceFrom, query.priceTo].map((v) => v ?? null)
  const [rows, [facets]] = await Promise.all([
    database.execute<ProductRow>(pageStatement, [...filter, after, limit + 1]),
    after === null ? database.execute<FacetRow>(facetStatement, filter) : [undefined],
  ])
  const { items, nextCursor } = pageOf(rows, limit, toProduct, (row) => encodeCursor('products', query, [row.sku]))
  return { products: items, nextCursor, ...(facets ? { facets: toFacets(facets) } : {}) }
}
