import { decodeEvent } from '../schemas/codec.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { OrderLine } from '../schemas/primitives.ts'

/**
 * The log folded a second time, by code that shares nothing with the projections and is kept as plain as possible: one
 * event after the other into maps. What the read models show must equal this.
 */
export interface AuditedOrder {
  customerId: string
  status: 'placed' | 'confirmed' | 'shipped' | 'delivered' | 'cancelled'
  cancelReason: string | null
  total: number
  currency: string
  units: number
  revision: bigint
}
export interface AuditedStock {
  onHand: number
  reservations: Map<string, number>
  revision: bigint
  oversold: boolean
}
export interface AuditedPayment {
  authorisations: number
  captures: number
  authorised: number
  captured: number
  refunded: number
  currency: string
  ended: 'voided' | 'declined' | null
  revision: bigint
}
export interface AuditedSales {
  orders: number
  units: number
  revenue: number
  cancelledOrders: number
  cancelledUnits: number
  cancelledRevenue: number
  refunds: number
  refunded: number
}

export const createAuditFold = () => {
  const orders = new Map<string, AuditedOrder>()
  const stock = new Map<string, AuditedStock>()
  const payments = new Map<string, AuditedPayment>()
  const prices = new Map<string, { name: string; amount: number; currency: string; revision: bigint }>()
  const fulfilments = new Map<string, 'running' | 'parked' | 'completed' | 'cancelled'>()
  const sales = new Map<string, AuditedSales>()
  const boards = new Map<string, { units: number; revenue: number }>()
  /** Entries of an order's timeline: every event that names the order. */
  const timeline = new Map<string, number>()
  let events = 0

  const salesOf = (time: string, currency: string): AuditedSales => {
    const key = `${time.slice(0, 10)} ${currency}`
    const day = sales.get(key) ?? {
      orders: 0,
      units: 0,
      revenue: 0,
      cancelledOrders: 0,
      cancelledUnits: 0,
      cancelledRevenue: 0,
      refunds: 0,
      refunded: 0,
    }
    sales.set(key, day)
    return day
  }
  const count = (board: string, key: string, units: number, revenue: number) => {
    const entry = boards.get(`${board} ${key}`) ?? { units: 0, revenue: 0 }
    boards.set(`${board} ${key}`, { units: entry.units + units, revenue: entry.revenue + revenue })
  }
  const unitsOf = (lines: readonly OrderLine[]) => lines.reduce((sum, line) => sum + line.quantity, 0)
  const countOrder = (
    customerId: string,
    lines: readonly OrderLine[],
    total: number,
    currency: string,
    sign: 1 | -1,
  ) => {
    count('customers', `${customerId} ${currency}`, sign * unitsOf(lines), sign * total)
    for (const line of lines)
      count('products', `${line.sku} ${currency}`, sign * line.quantity, sign * line.quantity * line.unitPrice.amount)
  }
  const order = (id: string): AuditedOrder => {
    const found = orders.get(id)
    if (!found) throw new Error(`the log has an event of order ${id} before it was placed`)
    return found
  }
  const sku = (name: string): AuditedStock => {
    const found = stock.get(name) ?? { onHand: 0, reservations: new Map(), revision: -1n, oversold: false }
    stock.set(name, found)
    return found
  }
  const payment = (orderId: string, currency = ''): AuditedPayment => {
    const found = payments.get(orderId) ?? {
      authorisations: 0,
      captures: 0,
      authorised: 0,
      captured: 0,
      refunded: 0,
      currency,
      ended: null,
      revision: -1n,
    }
    payments.set(orderId, found)
    return found
  }

  const applyOrder = (event: RecordedEvent): void => {
    switch (event.type) {
      case 'OrderPlaced':
        orders.set(event.data.orderId, {
          customerId: event.data.customerId,
          status: 'placed',
          cancelReason: null,
          total: event.data.total.amount,
          currency: event.data.total.currency,
          units: unitsOf(event.data.lines),
          revision: event.revision,
        })
        return
      case 'OrderConfirmed': {
        const { orderId, customerId, lines, total, confirmedAt } = event.data
        Object.assign(order(orderId), { status: 'confirmed', revision: event.revision })
        const day = salesOf(confirmedAt, total.currency)
        day.orders += 1
        day.units += unitsOf(lines)
        day.revenue += total.amount
        countOrder(customerId, lines, total.amount, total.currency, 1)
        return
      }
      case 'OrderShipped':
        Object.assign(order(event.data.orderId), { status: 'shipped', revision: event.revision })
        return
      case 'OrderDelivered':
        Object.assign(order(event.data.orderId), { status: 'delivered', revision: event.revision })
        return
      case 'OrderCancelled': {
        const { orderId, customerId, lines, total, confirmedAt, reason } = event.data
        Object.assign(order(orderId), { status: 'cancelled', cancelReason: reason, revision: event.revision })
        if (confirmedAt === null) return
        const day = salesOf(confirmedAt, total.currency)
        day.cancelledOrders += 1
        day.cancelledUnits += unitsOf(lines)
        day.cancelledRevenue += total.amount
        countOrder(customerId, lines, total.amount, total.currency, -1)
        return
      }
    }
  }

  const applyStock = (event: RecordedEvent): void => {
    if (!event.stream.startsWith('inventory-')) return
    const item = sku((event.data as { sku: string }).sku)
    item.revision = event.revision
    if (event.type === 'StockReceived') item.onHand += event.data.quantity
    if (event.type === 'StockAdjusted') item.onHand += event.data.delta
    if (event.type === 'StockReserved') item.reservations.set(event.data.orderId, event.data.quantity)
    if (event.type === 'ReservationReleased') item.reservations.delete(event.data.orderId)
    if (event.type === 'StockCommitted') {
      item.reservations.delete(event.data.orderId)
      item.onHand -= event.data.quantity
    }
    const reserved = [...item.reservations.values()].reduce((sum, quantity) => sum + quantity, 0)
    if (reserved > item.onHand || item.onHand < 0) item.oversold = true
  }

  const applyPayment = (event: RecordedEvent): void => {
    if (!event.stream.startsWith('payment-')) return
    const charge = payment((event.data as { orderId: string }).orderId)
    charge.revision = event.revision
    if (event.type === 'AuthorisationRequested') charge.currency = event.data.amount.currency
    if (event.type === 'PaymentAuthorised') {
      charge.authorisations += 1
      charge.authorised += event.data.amount.amount
    }
    if (event.type === 'PaymentCaptured') {
      charge.captures += 1
      charge.captured += event.data.amount.amount
    }
    if (event.type === 'PaymentRefunded') {
      charge.refunded += event.data.amount.amount
      const day = salesOf(event.data.refundedAt, event.data.amount.currency)
      day.refunds += 1
      day.refunded += event.data.amount.amount
    }
    if (event.type === 'PaymentVoided') charge.ended = 'voided'
    if (event.type === 'PaymentDeclined') charge.ended = 'declined'
  }

  const applyRest = (event: RecordedEvent): void => {
    if (event.type === 'ProductRegistered') {
      const { sku: id, name, price } = event.data
      prices.set(id, { name, amount: price.amount, currency: price.currency, revision: event.revision })
    }
    if (event.type === 'ProductRepriced') {
      const known = prices.get(event.data.sku)
      if (known) Object.assign(known, { ...event.data.price, revision: event.revision })
    }
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
      const { orderId } = event.data as { orderId?: string }
      if (orderId !== undefined) timeline.set(orderId, (timeline.get(orderId) ?? 0) + 1)
      applyOrder(event)
      applyStock(event)
      applyPayment(event)
      applyRest(event)
    },
    orders,
    stock,
    payments,
    prices,
    fulfilments,
    sales,
    boards,
    timeline,
    events: () => events,
  }
}

export type AuditFold = ReturnType<typeof createAuditFold>
