import { describe, expect, it } from 'vitest'
import type { OrderCommand, OrderEvent } from '../schemas/order.ts'
import type { OrderLine } from '../schemas/primitives.ts'
import { given } from '../test/support/given.ts'
import { orderDecider } from './order.ts'

const orderId = '0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d0001'
const customerId = 'c-1'
const at = '2026-11-21T09:30:00.000Z'
const personal = { keyId: '0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d0002', iv: 'aXY=', tag: 'dGFn', ciphertext: 'eA==' }
const line = (sku: string, quantity: number, amount: number, currency = 'EUR'): OrderLine => ({
  sku,
  name: `Product ${sku}`,
  quantity,
  unitPrice: { amount, currency },
})
const lines = [line('a', 2, 1_000), line('b', 1, 500)]
const total = { amount: 2_500, currency: 'EUR' }
const place: OrderCommand & { type: 'PlaceOrder' } = {
  type: 'PlaceOrder',
  at,
  orderId,
  customerId,
  lines,
  personal,
  paymentToken: 'tok',
}
const placed: OrderEvent = {
  type: 'OrderPlaced',
  data: { orderId, customerId, lines, total, personal, paymentToken: 'tok', placedAt: at },
}
const confirmed: OrderEvent = { type: 'OrderConfirmed', data: { orderId, customerId, lines, total, confirmedAt: at } }
const shipped: OrderEvent = {
  type: 'OrderShipped',
  data: { orderId, customerId, carrier: 'DHL', trackingId: '1', shippedAt: at },
}
const delivered: OrderEvent = { type: 'OrderDelivered', data: { orderId, customerId, deliveredAt: at } }
const cancelled = (confirmedAt: string | null): OrderEvent => ({
  type: 'OrderCancelled',
  data: { orderId, customerId, reason: 'customer_request', lines, total, confirmedAt, cancelledAt: at },
})

const histories = {
  none: [],
  placed: [placed],
  confirmed: [placed, confirmed],
  shipped: [placed, confirmed, shipped],
  delivered: [placed, confirmed, shipped, delivered],
  cancelled: [placed, cancelled(null)],
} as const satisfies Record<string, readonly OrderEvent[]>
type Status = keyof typeof histories
const when = (status: Status, command: OrderCommand) => given(orderDecider, ...histories[status]).when(command)

describe('placing an order', () => {
  it('totals its lines', () => {
    expect(when('none', place)).toEqual([placed])
  })
  it('agrees with the total that the customer expects', () => {
    expect(when('none', { ...place, expectedTotal: total })).toEqual([placed])
  })
  it.each([
    { amount: 2_499, currency: 'EUR' },
    { amount: 2_500, currency: 'USD' },
  ])('is refused when the customer expects %j', (expectedTotal) => {
    expect(when('none', { ...place, expectedTotal })).toBe('price-changed')
  })
  it('is refused in mixed currencies', () => {
    expect(when('none', { ...place, lines: [line('a', 1, 1), line('b', 1, 1, 'USD')] })).toBe('mixed-currencies')
  })
  it('is refused when two lines name one product', () => {
    expect(when('none', { ...place, lines: [line('a', 1, 1), line('a', 1, 1)] })).toBe('duplicate-line')
  })
  it('stays exact for the largest order there can be', () => {
    const huge = Array.from({ length: 100 }, (_, index) => line(`sku-${index}`, 10_000, 1_000_000_000))
    const [event] = when('none', { ...place, lines: huge }) as readonly OrderEvent[]
    expect(event).toMatchObject({ data: { total: { amount: 1_000_000_000_000_000 } } })
  })
  it.each(['placed', 'confirmed', 'shipped', 'delivered', 'cancelled'] as const)(
    'changes nothing when it is repeated and the order is %s, even if prices have changed and the seal differs',
    (status) => {
      const again = { ...place, lines: [line('a', 2, 9_000), line('b', 1, 500)], personal: { ...personal, iv: 'eA==' } }
      expect(when(status, again)).toEqual([])
    },
  )
  it.each([
    ['another customer', { customerId: 'c-2' }],
    ['other lines', { lines: [line('a', 3, 1_000), line('b', 1, 500)] }],
    ['another payment token', { paymentToken: 'other' }],
  ])('is refused under the same id with %s', (_, members) => {
    expect(when('placed', { ...place, ...members })).toBe('order-already-placed')
  })
})

const ship = { type: 'ShipOrder', at, orderId, carrier: 'DHL', trackingId: '1' } as const
const cancel = { type: 'CancelOrder', at, orderId, reason: 'customer_request' } as const

const table: [
  Exclude<OrderCommand['type'], 'PlaceOrder'>,
  OrderCommand,
  Record<Status, readonly OrderEvent[] | string>,
][] = [
  [
    'ConfirmOrder',
    { type: 'ConfirmOrder', at, orderId },
    {
      none: 'order-not-found',
      placed: [confirmed],
      confirmed: [],
      shipped: [],
      delivered: [],
      cancelled: 'order-not-confirmable',
    },
  ],
  [
    'CancelOrder',
    cancel,
    {
      none: 'order-not-found',
      placed: [cancelled(null)],
      confirmed: [cancelled(at)],
      shipped: 'order-not-cancellable',
      delivered: 'order-not-cancellable',
      cancelled: [],
    },
  ],
  [
    'ShipOrder',
    ship,
    {
      none: 'order-not-found',
      placed: 'order-not-shippable',
      confirmed: [shipped],
      shipped: [],
      delivered: 'order-not-shippable',
      cancelled: 'order-not-shippable',
    },
  ],
  [
    'DeliverOrder',
    { type: 'DeliverOrder', at, orderId },
    {
      none: 'order-not-found',
      placed: 'order-not-deliverable',
      confirmed: 'order-not-deliverable',
      shipped: [delivered],
      delivered: [],
      cancelled: 'order-not-deliverable',
    },
  ],
]

describe.each(table)('%s', (_, command, expected) => {
  it.each(Object.entries(expected) as [Status, unknown][])('on an order that is %s', (status, outcome) => {
    expect(when(status, command)).toEqual(outcome)
  })
})

it('refuses to ship a second time with other particulars', () => {
  expect(when('shipped', { ...ship, trackingId: '2' })).toBe('order-not-shippable')
})
