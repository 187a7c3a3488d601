import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { OrderIdParams, WaitQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'

interface Refund {
  readonly refundId: string
  readonly amount: unknown
  readonly reason: string
  readonly status: string
  readonly at: string
}

interface Row {
  readonly order_id: string
  readonly customer_id: string
  readonly status: string
  readonly currency: string | null
  readonly requested_amount: bigint
  readonly authorised_amount: bigint
  readonly captured_amount: bigint
  readonly refunded_amount: bigint
  readonly decline_reason: string | null
  readonly gateway_reference: string | null
  readonly refunds: Refund[]
  readonly requested_at: string | null
  readonly authorised_at: string | null
  readonly declined_at: string | null
  readonly captured_at: string | null
  readonly voided_at: string | null
  readonly revision: bigint
}

const statement: Statement = { name: 'payment', text: 'select * from payments.payments where order_id = $1' }

const toPayment = (row: Row) => {
  const { currency } = row
  const money = (amount: bigint) => (currency === null ? null : { amount: Number(amount), currency })
  return {
    orderId: row.order_id,
    revision: String(row.revision),
    customerId: row.customer_id,
    status: row.status,
    requested: money(row.requested_amount),
    authorised: money(row.authorised_amount),
    captured: money(row.captured_amount),
    refunded: money(row.refunded_amount),
    declineReason: row.decline_reason,
    gatewayReference: row.gateway_reference,
    refunds: row.refunds.map((refund) => ({
      ...refund,
      amount: typeof refund.amount === 'number' ? money(BigInt(refund.amount)) : refund.amount,
    })),
    requestedAt: row.requested_at,
    authorisedAt: row.authorised_at,
    declinedAt: row.declined_at,
    capturedAt: row.captured_at,
    voidedAt: row.voided_at,
  }
}

/** `GET /v1/payments/:orderId`: what was asked of the payment provider for an order, and what came of it. */
export const registerPayments = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/payments/:orderId', {
    params: OrderIdParams,
    query: WaitQuery,
    projections: ['payments'],
    answer: async ({ params, reply, missing }) => {
      const [row] = await deps.database.execute<Row>(statement, [params.orderId])
      if (!row) throw missing('payment-not-found')
      reply.header('ETag', `"${row.revision}"`)
      return toPayment(row)
    },
  })
}
