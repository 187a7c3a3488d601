import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { ListProductsQuery, SkuParams, WaitQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { listProducts, type ProductRow, toProduct } from './product-list.ts'
import { addReadRoute } from './route.ts'

const statement: Statement = {
  name: 'product',
  text: `select p.*, s.on_hand, s.reserved, s.available
    from catalogue.products p left join stock_levels.stock s on s.sku = p.sku where p.sku = $1`,
}

interface Row extends ProductRow {
  readonly on_hand: bigint | null
  readonly reserved: bigint | null
  readonly available: bigint | null
}

/** `GET /v1/products` and `GET /v1/products/:sku`; the latter with its stock, in units. */
export const registerProducts = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/products', {
    query: ListProductsQuery,
    projections: ['catalogue'],
    answer: ({ query }) => listProducts(deps.database, query),
  })

  addReadRoute(server, deps, '/v1/products/:sku', {
    params: SkuParams,
    query: WaitQuery,
    projections: ['catalogue', 'stock_levels'],
    answer: async ({ params, reply, missing }) => {
      const [row] = await deps.database.execute<Row>(statement, [params.sku])
      if (!row) throw missing('product-not-found')
      reply.header('ETag', `"${row.revision}"`)
      const stock = row.on_hand !== null && {
        onHandUnits: Number(row.on_hand),
        reservedUnits: Number(row.reserved),
        availableUnits: Number(row.available),
      }
      return { ...toProduct(row), stock: stock || null }
    },
  })
}
