import type { FastifyRequest } from 'fastify'
import { v5 as uuidv5 } from 'uuid'
import type { Clock } from '../platform/clock.ts'
import type { HttpServer } from '../platform/http-server.ts'
import type { PersonalDataVault } from '../platform/personal-data.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { OrderLine } from '../schemas/primitives.ts'
import { OrderIdParams } from '../schemas/queries.ts'
import {
  CancelOrderRequest,
  DeliverOrderRequest,
  PlaceOrderRequest,
  RefundRequest,
  ShipOrderRequest,
} from '../schemas/requests.ts'
import type { WriteSide } from './command-handler.ts'
import type { Settled } from './commands.ts'
import type { KeyedRequests } from './keyed-requests.ts'
import type { Order } from './order.ts'
import { refundedOf } from './payment.ts'
import { doneReply } from './replies.ts'

const maxQuantity = 10_000

/** A request that says nothing may come without a body. */
const bodyOptional = async (request: FastifyRequest): Promise<void> => {
  request.body ??= {}
}

/** Lines that name the same product are one line. */
const demandBySku = (lines: PlaceOrderRequest['lines']): Map<string, number> => {
  const demand = new Map<string, number>()
  for (const { sku, quantity } of lines) demand.set(sku, (demand.get(sku) ?? 0) + quantity)
  for (const [sku, quantity] of demand)
    if (quantity > maxQuantity)
      throw new CommandRejected('invalid-request', {
        detail: `body/lines ask for ${quantity} of ${sku}, at most ${maxQuantity} can be ordered at once`,
      })
  return demand
}

const bodyOf = (order: Order, orderId: string) =>
  order.status === 'none' ? { orderId } : { orderId, status: order.status, total: order.total }

export const registerOrderRoutes = (
  server: HttpServer,
  deps: {
    readonly commands: WriteSide
    readonly vault: PersonalDataVault
    readonly clock: Clock
    readonly keyed: KeyedRequests
    readonly logIdentity: () => Promise<string>
  },
): void => {
  const { commands, vault, clock, keyed, logIdentity } = deps
  const now = () => clock.now().toISOString()

  /** Prices and names as the catalogue has them at this moment. */
  const priced = async (lines: PlaceOrderRequest['lines']): Promise<OrderLine[]> => {
    const demand = [...demandBySku(lines)]
    const products = await Promise.all(demand.map(([sku]) => commands.products.load(sku)))
    const unknown = demand.filter((_, index) => products[index]?.status !== 'registered').map(([sku]) => sku)
    if (unknown.length > 0) throw new CommandRejected('unknown-product', { skus: unknown })
    return demand.flatMap(([sku, quantity], index) => {
      const product = products[index]
      return product?.status === 'registered' ? [{ sku, name: product.name, quantity, unitPrice: product.price }] : []
    })
  }

  const orderReply = async (orderId: string, settled: Settled<Order>, status: 200 | 201 = 200) => {
    const location = `/v1/orders/${orderId}`
    return doneReply(await logIdentity(), settled, { status, location, body: bodyOf(settled.state, orderId) })
  }

  server.post<{ Body: PlaceOrderRequest }>('/v1/orders', { schema: { body: PlaceOrderRequest } }, (request, reply) =>
    keyed(request, reply, async ({ commandId, contextFor, options }) => {
      const { customer, shippingAddress: address, lines, paymentToken, expectedTotal } = request.body
      const { id: customerId, name, email } = customer
      const orderId = uuidv5('order', commandId)
      const linesPriced = await priced(lines)
      const settled = await commands.orders.handle(
        {
          type: 'PlaceOrder',
          at: now(),
          orderId,
          customerId,
          lines: linesPriced,
          personal: await vault.seal(customerId, { name, email, address }),
          paymentToken,
          ...(expectedTotal === undefined ? {} : { expectedTotal }),
        },
        contextFor(`customer:${customerId}`),
        options,
      )
      return orderReply(orderId, settled, 201)
    }),
  )

  server.post<{ Params: { orderId: string }; Body: CancelOrderRequest }>(
    '/v1/orders/:orderId/cancel',
    { schema: { params: OrderIdParams, body: CancelOrderRequest }, preValidation: bodyOptional },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { orderId } = request.params
        const { reason = 'customer_request' } = request.body
        const order = reason === 'customer_request' ? await commands.orders.load(orderId) : undefined
        const actor = order && 'customerId' in order ? `customer:${order.customerId}` : 'operator'
        const command = { type: 'CancelOrder', at: now(), orderId, reason } as const
        return orderReply(orderId, await commands.orders.handle(command, contextFor(actor), options))
      }),
  )

  server.post<{ Params: { orderId: string }; Body: ShipOrderRequest }>(
    '/v1/orders/:orderId/ship',
    { schema: { params: OrderIdParams, body: ShipOrderRequest } },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { orderId } = request.params
        const command = { type: 'ShipOrder', at: now(), orderId, ...request.body } as const
        return orderReply(orderId, await commands.orders.handle(command, contextFor('operator'), options))
      }),
  )

  server.post<{ Params: { orderId: string } }>(
    '/v1/orders/:orderId/deliver',
    { schema: { params: OrderIdParams, body: DeliverOrderRequest }, preValidation: bodyOptional },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { orderId } = request.params
        const command = { type: 'DeliverOrder', at: now(), orderId } as const
        return orderReply(orderId, await commands.orders.handle(command, contextFor('operator'), options))
      }),
  )

  server.post<{ Params: { orderId: string }; Body: RefundRequest }>(
    '/v1/orders/:orderId/refunds',
    { schema: { params: OrderIdParams, body: RefundRequest } },
    (request, reply) =>
      keyed(request, reply, async ({ commandId, contextFor, options }) => {
        const { orderId } = request.params
        const refundId = uuidv5('refund', commandId)
        const command = { type: 'RefundPayment', at: now(), orderId, refundId, ...request.body } as const
        const settled = await commands.payments.handle(command, contextFor('operator'), options)
        const { state } = settled
        const sums =
          state.status === 'captured'
            ? { captured: state.charge.amount, refunded: { ...state.charge.amount, amount: refundedOf(state.refunds) } }
            : {}
        return doneReply(await logIdentity(), settled, {
          status: 201,
          location: `/v1/payments/${orderId}`,
          body: { orderId, refundId, status: 'refunded', amount: request.body.amount, ...sums },
        })
      }),
  )
}
