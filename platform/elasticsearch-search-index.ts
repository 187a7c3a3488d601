import type { Database } from './database.ts'
import { createCandidates } from './elasticsearch-candidates.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { eraseInEveryIndex } from './elasticsearch-every-index.ts'
import { createElasticsearchOrderSearch } from './elasticsearch-order-search.ts'
import { createElasticsearchProductSearch } from './elasticsearch-product-search.ts'
import type { Logger } from './logging.ts'

/**
 * Search on Elasticsearch 9. Indices are `<prefix>-orders-v1-g<n>` and `<prefix>-products-v1-g<n>`, v being the
 * version of their mapping and g the generation (with `-2`, `-3` once it was emptied), served through the alias without it.
 *
 * @param options.engine connections of its own for who asks, and for who writes; see `openElasticsearch`
 * @param options.database where projections keep their book-keeping
 * @param options.prefix lower-case letters, digits, `-`, `_`
 */
export const createElasticsearchSearchIndex = (options: {
  readonly engine: Elasticsearch
  readonly database: Database
  readonly logger: Logger
  readonly prefix: string
}) => {
  const { engine, database, logger, prefix } = options
  const candidates = createCandidates(engine)
  const deps = { engine, candidates, database, logger }
  const orders = `${prefix}-orders-v1`
  return {
    products: createElasticsearchProductSearch({ ...deps, alias: `${prefix}-products-v1`, name: 'product_search' }),
    orders: createElasticsearchOrderSearch({ ...deps, alias: orders, name: 'order_search' }),
    forget: (keyIds: readonly string[]) => eraseInEveryIndex(engine, orders, keyIds),
  }
}
