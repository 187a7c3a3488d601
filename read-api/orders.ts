import type { HttpServer } from '../platform/http-server.ts'
import { CustomerParams, ListOrdersQuery, PageQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { listOrders } from './order-list.ts'
import { addReadRoute } from './route.ts'

/** `GET /v1/orders` and `GET /v1/customers/:customerId/orders`. */
export const registerOrderLists = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/orders', {
    query: ListOrdersQuery,
    projections: ['order_details'],
    answer: async ({ query }) => {
      const { items, nextCursor } = await listOrders(deps.database, query)
      return { orders: items, nextCursor }
    },
  })

  addReadRoute(server, deps, '/v1/customers/:customerId/orders', {
    params: CustomerParams,
    query: PageQuery,
    projections: ['order_details'],
    answer: async ({ params, query, missing }) => {
      const { items, nextCursor } = await listOrders(deps.database, { ...query, customerId: params.customerId })
      if (items.length === 0 && query.cursor === undefined) throw missing('customer-not-found')
      return { orders: items, nextCursor }
    },
  })
}
