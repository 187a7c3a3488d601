import { expect, test } from 'vitest'
import { orderLife } from '../test/support/order-events.ts'
import { evolve as evolveProduct } from './catalogue.ts'
import { deltasOf } from './sales.ts'
import { evolve as evolveStock, type StockRow } from './stock-levels.ts'

const at = '2026-03-01T09:00:00.000Z'

test('sales count when confirmed; a cancellation counts on the day of the confirmation, or not at all', () => {
  const [first, second] = [orderLife({}), orderLife({ day: '2026-03-02' })]
  const deltas = deltasOf([
    second.confirmed,
    first.confirmed,
    first.cancelled(true, '2026-03-09T00:00:00.000Z'),
    orderLife({}).cancelled(false),
  ])
  expect(deltas).toMatchObject([
    { day: '2026-03-01', orders: 1n, units: 2n, revenue: 3_000n, cancelled_orders: 1n, cancelled_revenue: 3_000n },
    { day: '2026-03-02', orders: 1n, cancelled_orders: 0n },
  ])
})

test('sales of one day in two currencies stay apart', () => {
  const { confirmed } = orderLife({})
  const yen = { ...confirmed, data: { ...confirmed.data, total: { amount: 400, currency: 'JPY' } } }
  expect(deltasOf([yen, confirmed]).map((delta) => [delta.currency, delta.revenue])).toEqual([
    ['EUR', 3_000n],
    ['JPY', 400n],
  ])
})

test('stock is received, adjusted, reserved, released and committed', () => {
  const { orderId } = orderLife({})
  const events: Parameters<typeof evolveStock>[1][] = [
    { type: 'StockReceived', data: { sku: 'lamp', quantity: 10, receivedAt: at } },
    { type: 'StockAdjusted', data: { sku: 'lamp', delta: -1, reason: 'lost', adjustedAt: at } },
    { type: 'StockReserved', data: { sku: 'lamp', orderId, quantity: 5, reservedAt: at } },
    { type: 'ReservationReleased', data: { sku: 'lamp', orderId, quantity: 2, releasedAt: at } },
    { type: 'StockCommitted', data: { sku: 'lamp', orderId, quantity: 3, committedAt: at } },
  ]
  expect(events.reduce<StockRow | undefined>(evolveStock, undefined)).toEqual({
    sku: 'lamp',
    on_hand: 6,
    reserved: 0,
    updated_at: at,
  })
})

test('a product that was never registered cannot be repriced', () => {
  const price = { amount: 100, currency: 'EUR' }
  const repriced = { type: 'ProductRepriced' as const, data: { sku: 'x', price, previousPrice: price, repricedAt: at } }
  expect(() => evolveProduct(undefined, repriced)).toThrow(/never registered/)
})
