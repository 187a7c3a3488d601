import type { Database } from './database.ts'
import { eraseInEveryGeneration } from './postgres-order-erasures.ts'
import { createPostgresOrderSearch } from './postgres-order-search.ts'
import { createPostgresProductSearch } from './postgres-product-search.ts'
import type { SearchIndex } from './search-index.ts'

/**
 * Search on PostgreSQL: full text and trigrams. Needs the extension pg_trgm, which `prepare` creates.
 *
 * @param options.schemas the projections' schemas: `product_search` and `order_search`
 */
export const createPostgresSearchIndex = (options: {
  readonly database: Database
  readonly schemas: { readonly products: string; readonly orders: string }
}): SearchIndex => ({
  products: createPostgresProductSearch(options.database, options.schemas.products),
  orders: createPostgresOrderSearch(options.database, options.schemas.orders),
  forget: (keyIds) => eraseInEveryGeneration(options.database, options.schemas.orders, keyIds),
})
