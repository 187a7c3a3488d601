import { Type } from 'typebox'
import { PaymentToken } from './order.ts'
import { Currency, CustomerId, Quantity, Sealed, Sku, strict, Timestamp, Uuid } from './primitives.ts'

const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** Versions that are in old logs and are never written any more. */
export const retiredSchemas = {
  'order.placed.v1': strict({
    orderId: Uuid,
    customerId: CustomerId,
    currency: Currency,
    lines: Type.Array(strict({ sku: Sku, quantity: Quantity, unitPrice: amount }), { minItems: 1 }),
    total: amount,
    personal: Sealed,
    paymentToken: PaymentToken,
    placedAt: Timestamp,
  }),
}
