import { randomUUID } from 'node:crypto'
import type { OrderEvent } from '../schemas/order.ts'

const at = '2026-11-21T09:30:00.000Z'
const total = { amount: 4497, currency: 'EUR' }

/** A confirmed order of two lines: 300 bytes or so of JSON. */
export const confirmed = (index: number, orderId: string = randomUUID()) =>
  ({
    type: 'OrderConfirmed',
    data: {
      orderId,
      customerId: `customer-${index % 1000}`,
      lines: [
        { sku: 'PHONE-15-PRO', name: 'Phone 15 Pro', quantity: 2, unitPrice: { amount: 1999, currency: 'EUR' } },
        { sku: 'CASE-15-PRO', name: 'Case', quantity: 1, unitPrice: { amount: 499, currency: 'EUR' } },
      ],
      total,
      confirmedAt: at,
    },
  }) as const satisfies OrderEvent

/** The four events of an order that went well. */
export const lifeOf = (index: number, orderId: string = randomUUID()): readonly OrderEvent[] => {
  const confirmation = confirmed(index, orderId)
  const { customerId, lines } = confirmation.data
  return [
    {
      type: 'OrderPlaced',
      data: {
        orderId,
        customerId,
        lines: [...lines],
        total,
        personal: {
          keyId: orderId,
          iv: 'AAAAAAAAAAAAAAAA',
          tag: 'AAAAAAAAAAAAAAAAAAAAAA==',
          ciphertext: 'A'.repeat(160),
        },
        paymentToken: 'tok_approve',
        placedAt: at,
      },
    },
    confirmation,
    { type: 'OrderShipped', data: { orderId, customerId, carrier: 'DHL', trackingId: `T${index}`, shippedAt: at } },
    { type: 'OrderDelivered', data: { orderId, customerId, deliveredAt: at } },
  ]
}
