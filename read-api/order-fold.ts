import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderEvent } from '../schemas/order.ts'
import type { Sealed } from '../schemas/primitives.ts'
import type { OrderView } from '../schemas/views.ts'

/** An order folded from its stream; who it is for is still sealed. */
export interface FoldedOrder {
  readonly view: OrderView
  readonly personal: Sealed
}

const unhandled = (_type: never): undefined => undefined

/** The order after one more event; undefined before it was placed. */
export const foldOrder = (order: FoldedOrder | undefined, event: RecordedEvent): FoldedOrder | undefined => {
  const { type, data, revision } = event as RecordedEvent<OrderEvent>
  if (type === 'OrderPlaced')
    return {
      personal: data.personal,
      view: {
        orderId: data.orderId,
        revision: String(revision),
        status: 'placed',
        customer: { id: data.customerId, name: null, email: null },
        shippingAddress: null,
        lines: data.lines,
        total: data.total,
        placedAt: data.placedAt,
        confirmedAt: null,
        shippedAt: null,
        carrier: null,
        trackingId: null,
        deliveredAt: null,
        cancelledAt: null,
        cancelReason: null,
      },
    }
  if (!order) return undefined
  const becomes = (change: Partial<OrderView>): FoldedOrder => ({
    ...order,
    view: { ...order.view, ...change, revision: String(revision) },
  })
  switch (type) {
    case 'OrderConfirmed':
      return becomes({ status: 'confirmed', confirmedAt: data.confirmedAt })
    case 'OrderShipped':
      return becomes({
        status: 'shipped',
        shippedAt: data.shippedAt,
        carrier: data.carrier,
        trackingId: data.trackingId,
      })
    case 'OrderDelivered':
      return becomes({ status: 'delivered', deliveredAt: data.deliveredAt })
    case 'OrderCancelled':
      return becomes({ status: 'cancelled', cancelledAt: data.cancelledAt, cancelReason: data.reason })
    default:
      return unhandled(type) ?? order
  }
}
