import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { SkuParams, StockQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'
import { createStockHistory } from './stock-history.ts'

interface Row {
  readonly sku: string
  readonly on_hand: bigint
  readonly reserved: bigint
  readonly available: bigint
  readonly updated_at: string
  readonly revision: bigint
}

const statement: Statement = {
  name: 'stock',
  text: 'select sku, on_hand, reserved, available, updated_at, revision from stock_levels.stock where sku = $1',
}

/** `GET /v1/stock/:sku`, in units: as it is, from the read model; with `asOf` as it was, from the log. */
export const registerStock = (server: HttpServer, deps: ReadApiDependencies): void => {
  const stockAsOf = createStockHistory(deps)
  addReadRoute(server, deps, '/v1/stock/:sku', {
    params: SkuParams,
    query: StockQuery,
    projections: ['stock_levels'],
    fromLog: ({ asOf }) => asOf !== undefined,
    answer: async ({ params, query, reply, missing }) => {
      if (query.asOf !== undefined) return stockAsOf(params.sku, query.asOf, query.waitMs)
      const [row] = await deps.database.execute<Row>(statement, [params.sku])
      if (!row) throw missing('stock-not-found')
      reply.header('ETag', `"${row.revision}"`)
      return {
        sku: row.sku,
        revision: String(row.revision),
        // A stock of one SKU is capped at 10^12 units: a double holds it exactly.
        onHandUnits: Number(row.on_hand),
        reservedUnits: Number(row.reserved),
        availableUnits: Number(row.available),
        updatedAt: row.updated_at,
      }
    },
  })
}
