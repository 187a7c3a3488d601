import { Type } from 'typebox'
import { PaymentToken } from './order.ts'
import { type CommandOf, CustomerId, type EventOf, Money, strict, Timestamp, text, Uuid } from './primitives.ts'

const gatewayKey = Type.String({ minLength: 1, maxLength: 200 })
const reason = text(1, 200)
const order = { orderId: Uuid, customerId: CustomerId }

/**
 * Events of `payment-<orderId>`. Every call to the gateway is announced (`...Requested`, with the key that each retry
 * reuses) before it is made, so that after a crash the outcome can be looked up by that key.
 */
export const paymentEvents = {
  AuthorisationRequested: strict({
    ...order,
    amount: Money,
    paymentToken: PaymentToken,
    gatewayKey,
    requestedAt: Timestamp,
  }),
  PaymentAuthorised: strict({ ...order, amount: Money, gatewayReference: gatewayKey, authorisedAt: Timestamp }),
  PaymentDeclined: strict({ ...order, reason, declinedAt: Timestamp }),
  CaptureRequested: strict({ ...order, amount: Money, gatewayKey, requestedAt: Timestamp }),
  PaymentCaptured: strict({ ...order, amount: Money, capturedAt: Timestamp }),
  VoidRequested: strict({ ...order, gatewayKey, requestedAt: Timestamp }),
  PaymentVoided: strict({ ...order, voidedAt: Timestamp }),
  RefundRequested: strict({ ...order, refundId: Uuid, amount: Money, reason, gatewayKey, requestedAt: Timestamp }),
  PaymentRefunded: strict({ ...order, refundId: Uuid, amount: Money, refundedAt: Timestamp }),
  RefundRefused: strict({ ...order, refundId: Uuid, amount: Money, reason, refusedAt: Timestamp }),
}
export type PaymentEvent = EventOf<typeof paymentEvents>

export const paymentCommands = {
  AuthorisePayment: strict({ ...order, amount: Money, paymentToken: PaymentToken }),
  CapturePayment: strict({ orderId: Uuid }),
  /** With the customer it also works before anything was requested: a late authorisation is then refused. */
  VoidPayment: strict({ orderId: Uuid, customerId: Type.Optional(CustomerId) }),
  RefundPayment: strict({ orderId: Uuid, refundId: Uuid, amount: Money, reason }),
}
export type PaymentCommand = CommandOf<typeof paymentCommands>
