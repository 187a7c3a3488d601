import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'

/** What the invariants of the log are about, folded plainly: one event after the other into maps. */
export interface AuditedOrder {
  status: 'placed' | 'confirmed' | 'shipped' | 'delivered' | 'cancelled'
  cancelReason: string | null
}
export interface AuditedStock {
  onHand: number
  /** Units by order. */
  reservations: Map<string, number>
  /** At any moment. */
  oversold: boolean
}
export interface AuditedPayment {
  authorisations: number
  captures: number
  ended: 'voided' | 'declined' | null
}

const statusAfter = {
  OrderConfirmed: 'confirmed',
  OrderShipped: 'shipped',
  OrderDelivered: 'delivered',
  OrderCancelled: 'cancelled',
} as const

export const createAuditFold = () => {
  const orders = new Map<string, AuditedOrder>()
  const stock = new Map<string, AuditedStock>()
  const payments = new Map<string, AuditedPayment>()
  const fulfilments = new Map<string, 'running' | 'parked' | 'completed' | 'cancelled'>()
  let events = 0

  const applyOrder = (event: RecordedEvent): void => {
    switch (event.type) {
      case 'OrderPlaced':
        orders.set(event.data.orderId, { status: 'placed', cancelReason: null })
        return
      case 'OrderConfirmed':
      case 'OrderShipped':
      case 'OrderDelivered':
      case 'OrderCancelled': {
        const order = orders.get(event.data.orderId)
        if (!order) throw new Error(`the log has an event of order ${event.data.orderId} before it was placed`)
        order.status = statusAfter[event.type]
        if (event.type === 'OrderCancelled') order.cancelReason = event.data.reason
      }
    }
  }

  const applyStock = (event: RecordedEvent): void => {
    if (!event.stream.startsWith('inventory-')) return
    const { sku } = event.data as { sku: string }
    const item = stock.get(sku) ?? { onHand: 0, reservations: new Map(), oversold: false }
    stock.set(sku, item)
    if (event.type === 'StockReceived') item.onHand += event.data.quantity
    if (event.type === 'StockAdjusted') item.onHand += event.data.delta
    if (event.type === 'StockReserved') item.reservations.set(event.data.orderId, event.data.quantity)
    if (event.type === 'ReservationReleased') item.reservations.delete(event.data.orderId)
    if (event.type === 'StockCommitted') {
      item.reservations.delete(event.data.orderId)
      item.onHand -= event.data.quantity
    }
    let reserved = 0
    for (const quantity of item.reservations.values()) reserved += quantity
    if (reserved > item.onHand || item.onHand < 0) item.oversold = true
  }

  const applyPayment = (event: RecordedEvent): void => {
    if (!event.stream.startsWith('payment-')) return
    const { orderId } = event.data as { orderId: string }
    const payment = payments.get(orderId) ?? { authorisations: 0, captures: 0, ended: null }
    payments.set(orderId, payment)
    if (event.type === 'PaymentAuthorised') payment.authorisations += 1
    if (event.type === 'PaymentCaptured') payment.captures += 1
    if (event.type === 'PaymentVoided') payment.ended = 'voided'
    if (event.type === 'PaymentDeclined') payment.ended = 'declined'
  }

  const applyFulfilment = (event: RecordedEvent): void => {
    if (event.type === 'FulfilmentStarted') fulfilments.set(event.data.orderId, 'running')
    if (event.type === 'FulfilmentParked') fulfilments.set(event.data.orderId, 'parked')
    if (event.type === 'FulfilmentRetried' || event.type === 'StepSkipped')
      fulfilments.set(event.data.orderId, 'running')
    if (event.type === 'FulfilmentEnded') fulfilments.set(event.data.orderId, event.data.outcome)
  }

  return {
    apply: (stored: StoredEvent): void => {
      const event = decodeEvent(stored)
      events += 1
      applyOrder(event)
      applyStock(event)
      applyPayment(event)
      applyFulfilment(event)
    },
    orders,
    stock,
    payments,
    fulfilments,
    events: () => events,
  }
}

export type AuditFold = ReturnType<typeof createAuditFold>
