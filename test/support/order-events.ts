import { randomUUID } from 'node:crypto'
import type { DomainEvent } from '../../schemas/events.ts'
import type { OrderLine, PersonalData, Sealed } from '../../schemas/primitives.ts'

export const ada: PersonalData = {
  name: 'Ada Lovelace',
  email: 'ada@example.org',
  address: { street: 'St James Square 12', city: 'London', postalCode: 'SW1Y 4JH', country: 'GB' },
}

export const line = (sku: string, quantity: number, amount: number): OrderLine => ({
  sku,
  name: `The ${sku}`,
  quantity,
  unitPrice: { amount, currency: 'EUR' },
})

type Of<Type extends DomainEvent['type']> = Extract<DomainEvent, { type: Type }>

/** The events of one order's life, each at its own time. */
export const orderLife = (options: {
  readonly orderId?: string
  readonly customerId?: string
  readonly lines?: readonly OrderLine[]
  readonly personal?: Sealed
  readonly day?: string
}) => {
  const {
    orderId = randomUUID(),
    customerId = 'customer-1',
    lines = [line('lamp', 2, 1_500)],
    day = '2026-03-01',
  } = options
  const at = (time: string) => `${day}T${time}.000Z`
  const order = { orderId, customerId }
  const total = {
    amount: lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice.amount, 0),
    currency: 'EUR',
  }
  const personal = options.personal ?? { keyId: randomUUID(), iv: '', tag: '', ciphertext: '' }
  return {
    orderId,
    placed: {
      type: 'OrderPlaced',
      data: { ...order, lines: [...lines], total, personal, paymentToken: 'tok_approve', placedAt: at('09:00:00') },
    } satisfies Of<'OrderPlaced'>,
    confirmed: {
      type: 'OrderConfirmed',
      data: { ...order, lines: [...lines], total, confirmedAt: at('09:01:00') },
    } satisfies Of<'OrderConfirmed'>,
    shipped: {
      type: 'OrderShipped',
      data: { ...order, carrier: 'DHL', trackingId: 'T-1', shippedAt: at('10:00:00') },
    } satisfies Of<'OrderShipped'>,
    delivered: {
      type: 'OrderDelivered',
      data: { ...order, deliveredAt: at('18:00:00') },
    } satisfies Of<'OrderDelivered'>,
    cancelled: (confirmed: boolean, cancelledAt = at('12:00:00')) =>
      ({
        type: 'OrderCancelled',
        data: {
          ...order,
          reason: 'customer_request',
          lines: [...lines],
          total,
          confirmedAt: confirmed ? at('09:01:00') : null,
          cancelledAt,
        },
      }) satisfies Of<'OrderCancelled'>,
  }
}
