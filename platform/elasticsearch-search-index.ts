import type { Database } from './database.ts'
import { createCandidates } from './elasticsearch-candidates.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { createElasticsearchOrderSearch } from './elasticsearch-order-search.ts'
import { createElasticsearchProductSearch } from './elasticsearch-product-search.ts'

/**
 * Search on Elasticsearch 9. Indices are `<prefix>-orders-v1-g<n>` and `<prefix>-products-v1-g<n>`, v being the
 * version of their mapping and g the generation, served through the alias without it.
 *
 * @param options.engine connections of its own for who asks, and for who writes; see `openElasticsearch`
 * @param options.database where projections keep their book-keeping
 * @param options.prefix lower-case letters, digits, `-`, `_`
 */
export const createElasticsearchSearchIndex = (options: {
  readonly engine: Elasticsearch
  readonly database: Database
  readonly prefix: string
}) => {
  const { engine, database, prefix } = options
  const candidates = createCandidates(engine)
  return {
    products: createElasticsearchProductSearch({ engine, candidates, database, alias: `${prefix}-products-v1` }),
    orders: createElasticsearchOrderSearch({ engine, candidates, database, alias: `${prefix}-orders-v1` }),
  }
}
