import { CommandRejected } from '../schemas/errors.ts'
import type { OrderCommand, OrderEvent } from '../schemas/order.ts'
import type { Money, OrderLine } from '../schemas/primitives.ts'
import type { Decider } from './decider.ts'

interface Placed {
  readonly orderId: string
  readonly customerId: string
  readonly lines: readonly OrderLine[]
  readonly total: Money
  readonly paymentToken: string
}

export type Order =
  | { readonly status: 'none' }
  | (Placed & { readonly status: 'placed' })
  | (Placed & { readonly status: 'confirmed'; readonly confirmedAt: string })
  | (Placed & { readonly status: 'shipped'; readonly carrier: string; readonly trackingId: string })
  | (Placed & { readonly status: 'delivered' })
  | (Placed & { readonly status: 'cancelled'; readonly reason: string })

type Known = Exclude<Order, { status: 'none' }>
type CommandNamed<Name> = Extract<OrderCommand, { type: Name }>

/** The total of priced lines; they must share one currency. */
export const totalOf = (lines: readonly OrderLine[]): Money => {
  const currencies = [...new Set(lines.map((line) => line.unitPrice.currency))]
  const [currency] = currencies
  if (currency === undefined || currencies.length > 1) throw new CommandRejected('mixed-currencies', { currencies })
  return { amount: lines.reduce((sum, line) => sum + line.unitPrice.amount * line.quantity, 0), currency }
}

const evolve = (order: Order, event: OrderEvent): Order => {
  if (event.type === 'OrderPlaced') {
    const { orderId, customerId, lines, total, paymentToken } = event.data
    return { status: 'placed', orderId, customerId, lines, total, paymentToken }
  }
  if (order.status === 'none') return order
  const { orderId, customerId, lines, total, paymentToken } = order
  const placed = { orderId, customerId, lines, total, paymentToken }
  switch (event.type) {
    case 'OrderConfirmed':
      return { status: 'confirmed', ...placed, confirmedAt: event.data.confirmedAt }
    case 'OrderShipped':
      return { status: 'shipped', ...placed, carrier: event.data.carrier, trackingId: event.data.trackingId }
    case 'OrderDelivered':
      return { status: 'delivered', ...placed }
    case 'OrderCancelled':
      return { status: 'cancelled', ...placed, reason: event.data.reason }
    default:
      event satisfies never
      return order
  }
}

/** What the customer asked for. Prices may have changed since and ciphertext differs each time. */
const contentOf = (order: Pick<Placed, 'customerId' | 'lines' | 'paymentToken'>): string =>
  JSON.stringify([order.customerId, order.paymentToken, order.lines.map((line) => [line.sku, line.quantity])])

const place = (command: CommandNamed<'PlaceOrder'>, order: Order): OrderEvent[] => {
  const { type: _, at, expectedTotal, ...content } = command
  if (order.status !== 'none') {
    if (contentOf(order) === contentOf(content)) return []
    throw new CommandRejected('order-already-placed', { orderId: command.orderId })
  }
  const skus = command.lines.map((line) => line.sku)
  if (new Set(skus).size < skus.length)
    throw new CommandRejected('duplicate-line', { skus: skus.filter((sku, index) => skus.indexOf(sku) < index) })
  const total = totalOf(command.lines)
  if (expectedTotal && (expectedTotal.amount !== total.amount || expectedTotal.currency !== total.currency))
    throw new CommandRejected('price-changed', { expectedTotal, total })
  return [{ type: 'OrderPlaced', data: { ...content, total, placedAt: at } }]
}

const confirm = (command: CommandNamed<'ConfirmOrder'>, order: Known): OrderEvent[] => {
  if (order.status === 'cancelled') throw new CommandRejected('order-not-confirmable', { status: order.status })
  if (order.status !== 'placed') return []
  const { orderId, customerId, lines, total } = order
  return [{ type: 'OrderConfirmed', data: { orderId, customerId, lines: [...lines], total, confirmedAt: command.at } }]
}

const cancel = (command: CommandNamed<'CancelOrder'>, order: Known): OrderEvent[] => {
  if (order.status === 'cancelled') return []
  if (order.status !== 'placed' && order.status !== 'confirmed')
    throw new CommandRejected('order-not-cancellable', { status: order.status })
  const { orderId, customerId, lines, total } = order
  const confirmedAt = order.status === 'confirmed' ? order.confirmedAt : null
  const { reason, at: cancelledAt } = command
  return [
    {
      type: 'OrderCancelled',
      data: { orderId, customerId, reason, lines: [...lines], total, confirmedAt, cancelledAt },
    },
  ]
}

const ship = (command: CommandNamed<'ShipOrder'>, order: Known): OrderEvent[] => {
  const { orderId, carrier, trackingId, at: shippedAt } = command
  if (order.status === 'shipped' && order.carrier === carrier && order.trackingId === trackingId) return []
  if (order.status !== 'confirmed') throw new CommandRejected('order-not-shippable', { status: order.status })
  return [{ type: 'OrderShipped', data: { orderId, customerId: order.customerId, carrier, trackingId, shippedAt } }]
}

const deliver = ({ orderId, at: deliveredAt }: CommandNamed<'DeliverOrder'>, order: Known): OrderEvent[] => {
  if (order.status === 'delivered') return []
  if (order.status !== 'shipped') throw new CommandRejected('order-not-deliverable', { status: order.status })
  return [{ type: 'OrderDelivered', data: { orderId, customerId: order.customerId, deliveredAt } }]
}

const decide = (command: OrderCommand, order: Order): readonly OrderEvent[] => {
  if (command.type === 'PlaceOrder') return place(command, order)
  if (order.status === 'none') throw new CommandRejected('order-not-found', { orderId: command.orderId })
  switch (command.type) {
    case 'ConfirmOrder':
      return confirm(command, order)
    case 'CancelOrder':
      return cancel(command, order)
    case 'ShipOrder':
      return ship(command, order)
    case 'DeliverOrder':
      return deliver(command, order)
    default:
      command satisfies never
      return []
  }
}

/** `order-<uuid>`: placed, confirmed, shipped, delivered; cancelled at any time before it is shipped. */
export const orderDecider: Decider<OrderCommand, Order, OrderEvent> = {
  name: 'order',
  initial: { status: 'none' },
  evolve,
  decide,
  opens: (command) => command.type === 'PlaceOrder',
}
