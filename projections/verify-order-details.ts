import { orderStream } from '../schemas/streams.ts'
import type { ExpectedRow, RowModel } from './verify-model.ts'
import { stampsOf } from './verify-model.ts'

/** The order list and the order pages, folded plainly. */
export const orderDetailsModel: RowModel = {
  types: ['OrderPlaced', 'OrderConfirmed', 'OrderShipped', 'OrderDelivered', 'OrderCancelled'],
  keyOf: (event) => (event.data as { orderId: string }).orderId,
  originOf: (key) => ({ stream: orderStream(key) }),
  personal: {
    fields: ['name', 'email', 'address'],
    of: (person) => ({
      name: person === null ? null : person.name,
      email: person === null ? null : person.email,
      address: person === null ? null : person.address,
    }),
  },
  fold: (row, event) => {
    if (event.type === 'OrderPlaced') {
      const { data } = event
      let units = 0
      for (const line of data.lines) units += line.quantity
      return {
        sealed: data.personal,
        customerId: data.customerId,
        fields: {
          order_id: data.orderId,
          customer_id: data.customerId,
          status: 'placed',
          currency: data.total.currency,
          total_amount: data.total.amount,
          units,
          lines: data.lines,
          skus: data.lines.map(({ sku }) => sku),
          placed_at: data.placedAt,
          confirmed_at: null,
          shipped_at: null,
          delivered_at: null,
          cancelled_at: null,
          cancel_reason: null,
          carrier: null,
          tracking_id: null,
          personal_key: data.personal.keyId,
          ...stampsOf(event),
        },
      }
    }
    if (!row) return undefined
    const now = (fields: ExpectedRow['fields']) => ({
      ...row,
      fields: { ...row.fields, ...fields, ...stampsOf(event) },
    })
    if (event.type === 'OrderConfirmed') return now({ status: 'confirmed', confirmed_at: event.data.confirmedAt })
    if (event.type === 'OrderDelivered') return now({ status: 'delivered', delivered_at: event.data.deliveredAt })
    if (event.type === 'OrderShipped')
      return now({
        status: 'shipped',
        shipped_at: event.data.shippedAt,
        carrier: event.data.carrier,
        tracking_id: event.data.trackingId,
      })
    if (event.type === 'OrderCancelled')
      return now({ status: 'cancelled', cancelled_at: event.data.cancelledAt, cancel_reason: event.data.reason })
    return row
  },
}
