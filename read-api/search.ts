import type { HttpServer } from '../platform/http-server.ts'
import { SearchQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'

/** `GET /v1/search/products?q=` and `GET /v1/search/orders?q=`: the best hits first. */
export const registerSearch = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/search/products', {
    query: SearchQuery,
    projections: ['product_search'],
    answer: async ({ query: { q, limit = 20 } }) => {
      const hits = await deps.searchIndex.products.search({ q, limit })
      return { hits: hits.map(({ score, highlight = null, document }) => ({ score, highlight, product: document })) }
    },
  })

  addReadRoute(server, deps, '/v1/search/orders', {
    query: SearchQuery,
    projections: ['order_search'],
    answer: async ({ query: { q, limit = 20 } }) => {
      const hits = await deps.searchIndex.orders.search({ q, limit })
      return {
        hits: hits.map(({ score, highlight = null, document: { person, customerId, ...order } }) => ({
          score,
          highlight,
          order: { ...order, customer: { id: customerId, name: person?.name ?? null, email: person?.email ?? null } },
        })),
      }
    },
  })
}
