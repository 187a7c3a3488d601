import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import type { OrderLine } from '../schemas/primitives.ts'
import { OrderIdParams, OrderQuery } from '../schemas/queries.ts'
import type { OrderView } from '../schemas/views.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { createOrderHistory } from './order-history.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly order_id: string
  readonly customer_id: string
  readonly status: OrderView['status']
  readonly currency: string
  readonly total_amount: bigint
  readonly lines: OrderLine[]
  readonly placed_at: string
  readonly confirmed_at: string | null
  readonly shipped_at: string | null
  readonly delivered_at: string | null
  readonly cancelled_at: string | null
  readonly cancel_reason: OrderView['cancelReason']
  readonly carrier: string | null
  readonly tracking_id: string | null
  readonly name: string | null
  readonly email: string | null
  readonly address: OrderView['shippingAddress']
  readonly revision: bigint
  readonly position: bigint
  readonly payment_status: string | null
  readonly payment_position: bigint | null
  readonly fulfilment_status: string | null
  readonly waiting_for: string | null
}

const statement: Statement = {
  name: 'order',
  text: `select o.*, p.status as payment_status, p.position as payment_position, s.status as fulfilment_status, s.waiting_for
    from order_details.orders o
    left join payments.payments p on p.order_id = o.order_id
    left join saga.instances s on s.order_id = o.order_id
    where o.order_id = $1`,
}

const toOrderView = (row: Row): OrderView => ({
  orderId: row.order_id,
  revision: String(row.revision),
  status: row.status,
  customer: { id: row.customer_id, name: row.name, email: row.email },
  shippingAddress: row.address,
  lines: row.lines,
  total: { amount: Number(row.total_amount), currency: row.currency },
  placedAt: row.placed_at,
  confirmedAt: row.confirmed_at,
  shippedAt: row.shipped_at,
  carrier: row.carrier,
  trackingId: row.tracking_id,
  deliveredAt: row.delivered_at,
  cancelledAt: row.cancelled_at,
  cancelReason: row.cancel_reason,
})

/**
 * Whether the answer has been the same ever since the order's own last event. The tag is the order's revision, which is
 * what If-Match takes; payment and fulfilment move without it, and a 304 must not hide that.
 */
const isSettled = (row: Row): boolean =>
  (row.payment_position === null || row.payment_position < row.position) &&
  [null, 'completed', 'cancelled'].includes(row.fulfilment_status)

const knows = (header: string | undefined, tag: string): boolean =>
  header?.split(',').some((given) => [tag, `W/${tag}`, '*'].includes(given.trim())) ?? false

/** `GET /v1/orders/:orderId`: as it is, from the read model; with `asOf` as it was, from the log. */
export const registerOrder = (server: HttpServer, deps: ReadApiDependencies): void => {
  const orderAsOf = createOrderHistory(deps)
  addReadRoute(server, deps, '/v1/orders/:orderId', {
    params: OrderIdParams,
    query: OrderQuery,
    projections: ['order_details', 'payments'],
    fromLog: ({ asOf }) => asOf !== undefined,
    answer: async ({ params, query, request, reply, missing }) => {
      if (query.asOf !== undefined) return orderAsOf(params.orderId, query.asOf, query.waitMs)
      const [row] = await deps.database.execute<Row>(statement, [params.orderId])
      if (!row) throw missing('order-not-found')
      const tag = `"${row.revision}"`
      reply.header('ETag', tag)
      if (knows(request.headers['if-none-match'], tag) && isSettled(row)) return reply.code(304).send()
      return {
        ...toOrderView(row),
        payment: row.payment_status && { status: row.payment_status },
        fulfilment: row.fulfilment_status && { status: row.fulfilment_status, waitingFor: row.waiting_for },
      }
    },
  })
}
