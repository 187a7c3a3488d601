import type { OrderEvent } from '../schemas/order.ts'
import type { Address, OrderLine, PersonalData } from '../schemas/primitives.ts'

/** A row of the order list. Money in minor units of `currency`, times ISO 8601. */
export interface OrderRow {
  readonly order_id: string
  readonly customer_id: string
  readonly status: 'placed' | 'confirmed' | 'shipped' | 'delivered' | 'cancelled'
  readonly currency: string
  readonly total_amount: number
  readonly units: number
  readonly lines: readonly OrderLine[]
  readonly skus: readonly string[]
  readonly placed_at: string
  readonly confirmed_at: string | null
  readonly shipped_at: string | null
  readonly delivered_at: string | null
  readonly cancelled_at: string | null
  readonly cancel_reason: string | null
  readonly carrier: string | null
  readonly tracking_id: string | null
  readonly personal_key: string | null
  readonly name: string | null
  readonly email: string | null
  readonly address: Address | null
}

const place = (data: Extract<OrderEvent, { type: 'OrderPlaced' }>['data'], person: PersonalData | null): OrderRow => ({
  order_id: data.orderId,
  customer_id: data.customerId,
  status: 'placed',
  currency: data.total.currency,
  total_amount: data.total.amount,
  units: data.lines.reduce((units, line) => units + line.quantity, 0),
  lines: data.lines,
  skus: data.lines.map((line) => line.sku),
  placed_at: data.placedAt,
  confirmed_at: null,
  shipped_at: null,
  delivered_at: null,
  cancelled_at: null,
  cancel_reason: null,
  carrier: null,
  tracking_id: null,
  personal_key: data.personal.keyId,
  name: person?.name ?? null,
  email: person?.email ?? null,
  address: person?.address ?? null,
})

/**
 * What an event makes of an order's row.
 *
 * @param person what the order sealed, opened; null when the customer has been forgotten
 * @throws Error when the stream does not begin with OrderPlaced
 */
export const evolve = (row: OrderRow | undefined, event: OrderEvent, person: PersonalData | null): OrderRow => {
  if (event.type === 'OrderPlaced') return place(event.data, person)
  if (!row) throw new Error(`order ${event.data.orderId} has a ${event.type} but was never placed`)
  switch (event.type) {
    case 'OrderConfirmed':
      return { ...row, status: 'confirmed', confirmed_at: event.data.confirmedAt }
    case 'OrderShipped': {
      const { carrier, trackingId, shippedAt } = event.data
      return { ...row, status: 'shipped', carrier, tracking_id: trackingId, shipped_at: shippedAt }
    }
    case 'OrderDelivered':
      return { ...row, status: 'delivered', delivered_at: event.data.deliveredAt }
    case 'OrderCancelled': {
      const { reason, cancelledAt } = event.data
      return { ...row, status: 'cancelled', cancel_reason: reason, cancelled_at: cancelledAt }
    }
  }
}
