import { randomUUID } from 'node:crypto'
import type { DomainEvent } from '../../schemas/events.ts'
import type { OrderLine, PersonalData } from '../../schemas/primitives.ts'
import { orderStream } from '../../schemas/streams.ts'
import type { ReadSide } from './read-side.ts'

export const ada: PersonalData = {
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  address: { street: '1 Analytical Way', city: 'London', postalCode: 'N1', country: 'GB' },
}

export interface GivenOrder {
  readonly orderId: string
  readonly customerId: string
  readonly stream: string
  readonly placed: DomainEvent
  readonly confirmed: DomainEvent
  readonly shipped: DomainEvent
  readonly delivered: DomainEvent
  readonly cancelled: DomainEvent
}

/** An order and the events it may go through. */
export const givenOrder = (
  { vault }: Pick<ReadSide, 'vault'>,
  options: {
    readonly customerId?: string
    readonly placedAt?: string
    readonly sku?: string
    readonly amount?: number
    readonly lineCount?: number
    readonly orderId?: string
  } = {},
): GivenOrder => {
  const { customerId = `customer-${randomUUID()}`, sku = 'mug', amount = 1_250, lineCount = 1 } = options
  const orderId = options.orderId ?? randomUUID()
  const at = options.placedAt ?? '2026-03-01T10:00:00.000Z'
  const lines: OrderLine[] = Array.from({ length: lineCount }, (_, index) => ({
    sku: index === 0 ? sku : `${sku}-${index}`,
    name: 'Mug',
    quantity: 2,
    unitPrice: { amount, currency: 'EUR' },
  }))
  const total = { amount: 2 * amount * lineCount, currency: 'EUR' }
  const order = { orderId, customerId }
  return {
    ...order,
    stream: orderStream(orderId),
    placed: {
      type: 'OrderPlaced',
      data: { ...order, lines, total, personal: vault.seal(ada), paymentToken: 'tok_approve', placedAt: at },
    },
    confirmed: { type: 'OrderConfirmed', data: { ...order, lines, total, confirmedAt: at } },
    shipped: { type: 'OrderShipped', data: { ...order, carrier: 'DHL', trackingId: 'T-1', shippedAt: at } },
    delivered: { type: 'OrderDelivered', data: { ...order, deliveredAt: at } },
    cancelled: {
      type: 'OrderCancelled',
      data: { ...order, reason: 'customer_request', lines, total, confirmedAt: null, cancelledAt: at },
    },
  }
}
