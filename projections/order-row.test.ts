import { expect, test } from 'vitest'
import { ada, line, orderLife } from '../test/support/order-events.ts'
import { evolve, type OrderRow } from './order-row.ts'

const life = orderLife({ lines: [line('lamp', 2, 1_500), line('bulb', 3, 100)] })
const after = (...events: Parameters<typeof evolve>[1][]): OrderRow => {
  const [first = life.placed, ...rest] = events
  return rest.reduce((row, event) => evolve(row, event, null), evolve(undefined, first, ada))
}

test('a placed order has its lines, sums and person', () => {
  expect(after(life.placed)).toMatchObject({
    status: 'placed',
    units: 5,
    total_amount: 3_300,
    skus: ['lamp', 'bulb'],
    name: ada.name,
    address: ada.address,
    confirmed_at: null,
  })
})

test('later events change the status, add their own time and leave the rest alone', () => {
  const shipped = after(life.placed, life.confirmed, life.shipped)
  expect(shipped).toMatchObject({ status: 'shipped', carrier: 'DHL', tracking_id: 'T-1', name: ada.name })
  expect(shipped.confirmed_at).toBe(life.confirmed.data.confirmedAt)
  expect(after(life.placed, life.cancelled(false))).toMatchObject({
    status: 'cancelled',
    cancel_reason: 'customer_request',
  })
})

test('evolving leaves the former row as it was', () => {
  const placed = Object.freeze(after(life.placed))
  expect(evolve(placed, life.confirmed, null).status).toBe('confirmed')
  expect(placed.status).toBe('placed')
})

test('an order that was never placed is a fault, not a row', () => {
  expect(() => evolve(undefined, life.shipped, null)).toThrow(/OrderShipped but was never placed/)
})
