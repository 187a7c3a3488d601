import { type Static, Type } from 'typebox'
import { catalogCommands } from './catalog.ts'
import { inventoryCommands } from './inventory.ts'
import { Carrier, PaymentToken, TrackingId } from './order.ts'
import {
  Address,
  ConsumerName,
  CustomerId,
  Money,
  PersonalData,
  Price,
  Quantity,
  Sku,
  StockQuantity,
  strict,
  text,
} from './primitives.ts'

/** `POST /v1/orders`. There is no price in it: prices come from the catalogue; `expectedTotal` only guards against surprise. */
export const PlaceOrderRequest = strict({
  customer: strict({ id: CustomerId, name: PersonalData.properties.name, email: PersonalData.properties.email }),
  shippingAddress: Address,
  lines: Type.Array(strict({ sku: Sku, quantity: Quantity }), { minItems: 1, maxItems: 100 }),
  paymentToken: PaymentToken,
  expectedTotal: Type.Optional(Money),
})
export type PlaceOrderRequest = Static<typeof PlaceOrderRequest>

/** `POST /v1/orders/:id/cancel`: who wants it; the customer unless said otherwise. */
export const CancelOrderRequest = strict({
  reason: Type.Optional(Type.Union([Type.Literal('customer_request'), Type.Literal('operator_request')])),
})
export type CancelOrderRequest = Static<typeof CancelOrderRequest>
export const ShipOrderRequest = strict({ carrier: Carrier, trackingId: TrackingId })
export type ShipOrderRequest = Static<typeof ShipOrderRequest>
export const DeliverOrderRequest = strict({})
export const RefundRequest = strict({ amount: Price, reason: text(1, 200) })
export type RefundRequest = Static<typeof RefundRequest>

/** `POST /v1/products`. */
export const RegisterProductRequest = catalogCommands.RegisterProduct
/** `PUT /v1/products/:sku/price`. */
export const RepriceProductRequest = strict({ price: Price })

/** `POST /v1/products/:sku/stock`: goods that came in, or a correction after counting. */
export const StockRequest = Type.Union([
  strict({ receive: StockQuantity }),
  strict({ adjust: inventoryCommands.AdjustStock.properties.delta, reason: text(1, 200) }),
])

/** `POST /v1/sagas/:orderId/retry|skip`, `POST /v1/parked-events/...`: an operator's decision and why. */
export const OperatorRequest = strict({ operator: text(1, 200), reason: text(1, 500) })

/** `POST /v1/projections/...`: who asks, and why when that is worth keeping. */
export const AskedRequest = strict({ operator: text(1, 200), reason: Type.Optional(text(1, 500)) })
const rebuilding = {
  ...AskedRequest.properties,
  /** Only tell what would be done. */
  dryRun: Type.Optional(Type.Boolean()),
  /** Rows of each read model that are compared with the log before it is swapped in. */
  sample: Type.Optional(Type.Union([Type.Literal('all'), Type.Integer({ minimum: 0, maximum: 1_000_000_000 })])),
}
/** `POST /v1/projections/:name/rebuild`. */
export const RebuildRequest = strict(rebuilding)
/** `POST /v1/projections/rebuild`: several, which read the log together. */
export const RebuildSeveralRequest = strict({
  ...rebuilding,
  projections: Type.Union([
    Type.Literal('all'),
    Type.Literal('stale'),
    Type.Array(ConsumerName, { minItems: 1, maxItems: 100, uniqueItems: true }),
  ]),
})

/** `POST /v1/parked-events/:projection/:stream/:revision/edit`: what to apply in the place of the event, whole. */
export const EditParkedEventRequest = strict({
  ...OperatorRequest.properties,
  type: Type.Optional(Type.String({ pattern: '^[a-z][a-z.-]{0,98}\\.v[1-9][0-9]{0,4}$' })),
  data: Type.Record(Type.String(), Type.Unknown()),
})

/** `POST /v1/projections/:name/verify`. */
export const VerifyRequest = strict({
  /** So many rows at random, and streams of so many events at random. */
  sample: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
  /** Position to compare as of. */
  at: Type.Optional(Type.String({ pattern: '^(0|[1-9][0-9]{0,17})$' })),
  /** A generation that is not live. */
  generation: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  repair: Type.Optional(OperatorRequest),
})
