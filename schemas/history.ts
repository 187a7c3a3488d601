import { Type } from 'typebox'
import { PaymentToken } from './order.ts'
import { Currency, CustomerId, Quantity, Sealed, Sku, strict, Timestamp, Uuid } from './primitives.ts'
import type { Upcaster } from './upcasting.ts'

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

/** One step up for each retired version. */
export const upcasters: readonly Upcaster[] = [
  {
    // v2 gives every amount its currency and every line the name that the customer saw; v1 kept no name.
    from: 'order.placed.v1',
    to: 'order.placed.v2',
    upcast: ({ currency, total, lines, ...rest }) => ({
      ...rest,
      lines: (lines as { sku: string; quantity: number; unitPrice: number }[]).map((line) => ({
        sku: line.sku,
        name: line.sku,
        quantity: line.quantity,
        unitPrice: { amount: line.unitPrice, currency },
      })),
      total: { amount: total, currency },
    }),
  },
]
