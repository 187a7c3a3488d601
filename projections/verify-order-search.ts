import { orderStream } from '../schemas/streams.ts'
import type { ExpectedRow, RowModel } from './verify-model.ts'

/** The documents of orders, folded plainly. */
export const orderSearchModel: RowModel = {
  types: ['OrderPlaced', 'OrderConfirmed', 'OrderShipped', 'OrderDelivered', 'OrderCancelled'],
  keyOf: (event) => (event.data as { orderId: string }).orderId,
  originOf: (key) => ({ stream: orderStream(key) }),
  personal: {
    fields: ['person'],
    of: (person, { keyId }) => ({ person: person && { keyId, name: person.name, email: person.email } }),
  },
  fold: (row, event) => {
    if (event.type === 'OrderPlaced') {
      const { orderId, customerId, placedAt, total, personal, lines } = event.data
      return {
        sealed: personal,
        customerId,
        fields: {
          version: event.position,
          orderId,
          customerId,
          status: 'placed',
          placedAt,
          total,
          lines: lines.map((line) => ({ sku: line.sku, name: line.name, quantity: line.quantity })),
          carrier: null,
          trackingId: null,
        },
      }
    }
    if (!row) return undefined
    const now = (changes: ExpectedRow['fields']) => ({
      ...row,
      fields: { ...row.fields, ...changes, version: event.position },
    })
    if (event.type === 'OrderConfirmed') return now({ status: 'confirmed' })
    if (event.type === 'OrderDelivered') return now({ status: 'delivered' })
    if (event.type === 'OrderCancelled') return now({ status: 'cancelled' })
    if (event.type === 'OrderShipped') {
      const { carrier, trackingId } = event.data
      return now({ status: 'shipped', carrier, trackingId })
    }
    return row
  },
}
