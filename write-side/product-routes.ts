import type { Static } from 'typebox'
import type { Clock } from '../platform/clock.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { SkuParams } from '../schemas/queries.ts'
import { RegisterProductRequest, RepriceProductRequest, StockRequest } from '../schemas/requests.ts'
import type { Product } from './catalog.ts'
import type { WriteSide } from './command-handler.ts'
import type { Settled } from './commands.ts'
import { availableOf } from './inventory.ts'
import type { KeyedRequests } from './keyed-requests.ts'
import { doneReply } from './replies.ts'

export const registerProductRoutes = (
  server: HttpServer,
  deps: {
    readonly commands: WriteSide
    readonly clock: Clock
    readonly keyed: KeyedRequests
    readonly logIdentity: () => Promise<string>
  },
): void => {
  const { commands, clock, keyed, logIdentity } = deps
  const now = () => clock.now().toISOString()

  const productReply = async (sku: string, settled: Settled<Product>, status: 200 | 201) => {
    const { state } = settled
    const body = state.status === 'none' ? { sku } : { sku, name: state.name, price: state.price }
    return doneReply(await logIdentity(), settled, { status, location: `/v1/products/${sku}`, body })
  }

  server.post<{ Body: Static<typeof RegisterProductRequest> }>(
    '/v1/products',
    { schema: { body: RegisterProductRequest } },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { sku } = request.body
        const command = { type: 'RegisterProduct', at: now(), ...request.body } as const
        const settled = await commands.products.handle(command, contextFor('operator'), options)
        return productReply(sku, settled, settled.events.length > 0 || options.repeated ? 201 : 200)
      }),
  )

  server.put<{ Params: { sku: string }; Body: Static<typeof RepriceProductRequest> }>(
    '/v1/products/:sku/price',
    { schema: { params: SkuParams, body: RepriceProductRequest } },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { sku } = request.params
        const command = { type: 'RepriceProduct', at: now(), sku, ...request.body } as const
        return productReply(sku, await commands.products.handle(command, contextFor('operator'), options), 200)
      }),
  )

  server.post<{ Params: { sku: string }; Body: Static<typeof StockRequest> }>(
    '/v1/products/:sku/stock',
    { schema: { params: SkuParams, body: StockRequest } },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { sku } = request.params
        const { body } = request
        const product = await commands.products.load(sku)
        if (product.status === 'none') throw new CommandRejected('product-not-found', { sku })
        const settled = await commands.inventories.handle(
          'receive' in body
            ? { type: 'ReceiveStock', at: now(), sku, quantity: body.receive }
            : { type: 'AdjustStock', at: now(), sku, delta: body.adjust, reason: body.reason },
          contextFor('operator'),
          options,
        )
        const { onHand, reserved } = settled.state
        return doneReply(await logIdentity(), settled, {
          status: 200,
          location: `/v1/stock/${sku}`,
          body: { sku, onHand, reserved, available: availableOf(settled.state) },
        })
      }),
  )
}
