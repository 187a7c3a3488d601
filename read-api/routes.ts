import type { HttpServer } from '../platform/http-server.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { registerLeaderboards } from './leaderboards.ts'
import { registerOrder } from './order.ts'
import { registerOrderLists } from './orders.ts'
import { registerParkedEvents } from './parked-events.ts'
import { registerPayments } from './payments.ts'
import { registerProducts } from './products.ts'
import { registerProjections } from './projections.ts'
import { registerRebuilds } from './rebuilds.ts'
import { registerSagas } from './sagas.ts'
import { registerSales } from './sales.ts'
import { registerSearch } from './search.ts'
import { registerStock } from './stock.ts'
import { registerTimeline } from './timeline.ts'
import { registerVerify } from './verify.ts'

/** Everything that can be asked over HTTP; docs/http-api.md lists it. */
export const registerReadApi = (server: HttpServer, deps: ReadApiDependencies): void => {
  registerOrderLists(server, deps)
  registerOrder(server, deps)
  registerTimeline(server, deps)
  registerProducts(server, deps)
  registerStock(server, deps)
  registerPayments(server, deps)
  registerSales(server, deps)
  registerLeaderboards(server, deps)
  registerSearch(server, deps)
  registerSagas(server, deps)
  registerProjections(server, deps)
  registerRebuilds(server, deps)
  registerParkedEvents(server, deps)
  const { verifier, rebuilds } = deps
  if (verifier) registerVerify(server, { verifier, rebuilds })
}
