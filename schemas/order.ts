import { type Static, Type } from 'typebox'
import {
  type CommandOf,
  CustomerId,
  type EventOf,
  Money,
  OrderLine,
  Sealed,
  strict,
  Timestamp,
  text,
  Uuid,
} from './primitives.ts'

export const CancelReason = Type.Union([
  Type.Literal('customer_request'),
  Type.Literal('operator_request'),
  Type.Literal('out_of_stock'),
  Type.Literal('payment_declined'),
  Type.Literal('reservation_expired'),
  Type.Literal('authorisation_expired'),
])
export type CancelReason = Static<typeof CancelReason>

const lines = Type.Array(OrderLine, { minItems: 1, maxItems: 100 })
const carrier = text(1, 100)
const trackingId = text(1, 100)
const paymentToken = Type.String({ pattern: '^[A-Za-z0-9_-]{1,128}$' })
export const PaymentToken = paymentToken
export const Carrier = carrier
export const TrackingId = trackingId

/** Events of `order-<uuid>`. Each names order and customer, so that a consumer needs no look-up. */
export const orderEvents = {
  OrderPlaced: strict({
    orderId: Uuid,
    customerId: CustomerId,
    lines,
    total: Money,
    personal: Sealed,
    paymentToken,
    placedAt: Timestamp,
  }),
  OrderConfirmed: strict({ orderId: Uuid, customerId: CustomerId, lines, total: Money, confirmedAt: Timestamp }),
  OrderShipped: strict({ orderId: Uuid, customerId: CustomerId, carrier, trackingId, shippedAt: Timestamp }),
  OrderDelivered: strict({ orderId: Uuid, customerId: CustomerId, deliveredAt: Timestamp }),
  /** `confirmedAt` is null when the order was cancelled before it was confirmed (and never counted as a sale). */
  OrderCancelled: strict({
    orderId: Uuid,
    customerId: CustomerId,
    reason: CancelReason,
    lines,
    total: Money,
    confirmedAt: Type.Union([Timestamp, Type.Null()]),
    cancelledAt: Timestamp,
  }),
}
export type OrderEvent = EventOf<typeof orderEvents>

export const orderCommands = {
  /** Lines are already priced from the catalogue and the personal data is already sealed. */
  PlaceOrder: strict({
    orderId: Uuid,
    customerId: CustomerId,
    lines,
    personal: Sealed,
    paymentToken,
    expectedTotal: Type.Optional(Money),
  }),
  ConfirmOrder: strict({ orderId: Uuid }),
  CancelOrder: strict({ orderId: Uuid, reason: CancelReason }),
  ShipOrder: strict({ orderId: Uuid, carrier, trackingId }),
  DeliverOrder: strict({ orderId: Uuid }),
}
export type OrderCommand = CommandOf<typeof orderCommands>
