import { type Static, Type } from 'typebox'
import { catalogCommands } from './catalog.ts'
import { inventoryCommands } from './inventory.ts'
import { Carrier, PaymentToken, TrackingId } from './order.ts'
import {
  Address,
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
