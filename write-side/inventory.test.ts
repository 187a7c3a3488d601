import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CommandRejected } from '../schemas/errors.ts'
import type { InventoryCommand, InventoryEvent } from '../schemas/inventory.ts'
import { given } from '../test/support/given.ts'
import { availableOf, type Inventory, inventoryDecider, settledMemoryMs } from './inventory.ts'

const sku = 'phone'
const order = (n: number) => `0b9f3bb2-8e6e-4b0c-9d59-${String(n).padStart(12, '0')}`
const orderId = order(1)
const start = Date.parse('2026-11-21T09:30:00.000Z')
const later = (ms: number) => new Date(start + ms).toISOString()
const at = later(0)

const received = (quantity: number): InventoryEvent => ({
  type: 'StockReceived',
  data: { sku, quantity, receivedAt: at },
})
const reserved = (quantity: number, id = orderId): InventoryEvent => ({
  type: 'StockReserved',
  data: { sku, orderId: id, quantity, reservedAt: at },
})
const released = (quantity: number, id = orderId, releasedAt = at): InventoryEvent => ({
  type: 'ReservationReleased',
  data: { sku, orderId: id, quantity, releasedAt },
})
const committed = (quantity: number, id = orderId, committedAt = at): InventoryEvent => ({
  type: 'StockCommitted',
  data: { sku, orderId: id, quantity, committedAt },
})
const receive = (quantity: number): InventoryCommand => ({ type: 'ReceiveStock', at, sku, quantity })
const adjust = (delta: number): InventoryCommand => ({ type: 'AdjustStock', at, sku, delta, reason: 'counted' })
const reserve = (quantity: number, id = orderId): InventoryCommand => ({
  type: 'ReserveStock',
  at,
  sku,
  orderId: id,
  quantity,
})
const release = (id = orderId): InventoryCommand => ({ type: 'ReleaseStock', at, sku, orderId: id })
const commit = (id = orderId): InventoryCommand => ({ type: 'CommitStock', at, sku, orderId: id })
const when = (history: readonly InventoryEvent[], command: InventoryCommand) =>
  given(inventoryDecider, ...history).when(command)

describe('receiving and adjusting', () => {
  it('adds what came in', () => {
    expect(when([], receive(5))).toEqual([received(5)])
  })
  it('has an upper limit', () => {
    const full = Array.from({ length: 1_000 }, () => received(1_000_000_000))
    expect(when(full, receive(1))).toBe('stock-limit-exceeded')
    expect(when(full, adjust(1))).toBe('stock-limit-exceeded')
  })
  it('corrects in both directions', () => {
    expect(when([received(5)], adjust(-5))).toMatchObject([{ type: 'StockAdjusted', data: { delta: -5 } }])
    expect(when([], adjust(3))).toMatchObject([{ type: 'StockAdjusted', data: { delta: 3 } }])
  })
  it('records nothing when the count was right', () => {
    expect(when([received(5)], adjust(0))).toEqual([])
  })
  it('never takes away what is reserved', () => {
    expect(when([received(5), reserved(3)], adjust(-3))).toBe('stock-below-reserved')
    expect(when([received(5), reserved(3)], adjust(-2))).toMatchObject([{ type: 'StockAdjusted' }])
  })
})

describe('reserving', () => {
  it('takes from what is available', () => {
    expect(when([received(5)], reserve(5))).toEqual([reserved(5)])
    expect(when([received(5), reserved(3, order(2))], reserve(2))).toEqual([reserved(2)])
  })
  it('is refused when there is not enough', () => {
    expect(when([], reserve(1))).toBe('out-of-stock')
    expect(when([received(5), reserved(3, order(2))], reserve(3))).toBe('out-of-stock')
  })
  it('changes nothing when it is repeated, even when nothing is left', () => {
    expect(when([received(5), reserved(5)], reserve(5))).toEqual([])
  })
  it('is refused once the reservation was released or committed', () => {
    expect(when([received(5), reserved(1), released(1)], reserve(1))).toBe('reservation-settled')
    expect(when([received(5), reserved(1), committed(1)], reserve(1))).toBe('reservation-settled')
  })
  it('is refused when it comes after the release that should have undone it', () => {
    expect(when([received(5), released(0)], reserve(1))).toBe('reservation-settled')
  })
})

describe('releasing', () => {
  it('gives back what the order had', () => {
    expect(when([received(5), reserved(3)], release())).toEqual([released(3)])
  })
  it('leaves a mark when the order had nothing', () => {
    expect(when([received(5)], release())).toEqual([released(0)])
  })
  it('changes nothing when it is repeated', () => {
    expect(when([received(5), reserved(3), released(3)], release())).toEqual([])
    expect(when([received(5), released(0)], release())).toEqual([])
  })
  it('is refused after the goods have gone', () => {
    expect(when([received(5), reserved(3), committed(3)], release())).toBe('reservation-settled')
  })
})

describe('committing', () => {
  it('takes the goods out of stock', () => {
    expect(when([received(5), reserved(3)], commit())).toEqual([committed(3)])
    expect(when([received(5), reserved(3), committed(3)], reserve(3, order(2)))).toBe('out-of-stock')
  })
  it('changes nothing when it is repeated', () => {
    expect(when([received(5), reserved(3), committed(3)], commit())).toEqual([])
  })
  it('is refused without a reservation', () => {
    expect(when([received(5)], commit())).toBe('reservation-not-found')
    expect(when([received(5), reserved(3), released(3)], commit())).toBe('reservation-settled')
  })
})

describe('the memory of finished reservations', () => {
  const history = [received(9), reserved(1), released(1)]
  it('lasts through everything that happens within its time', () => {
    const busy = [2, 3, 4].map((n) => released(0, order(n), later((n / 5) * settledMemoryMs)))
    expect(when([...history, ...busy], reserve(1))).toBe('reservation-settled')
  })
  it('outlives the first change of generations', () => {
    expect(when([...history, released(0, order(2), later(settledMemoryMs))], reserve(1))).toBe('reservation-settled')
  })
  it('ends with the second, so that it does not grow for ever', () => {
    const much = [1, 2, 3].map((n) => released(0, order(n + 1), later(n * settledMemoryMs)))
    const state = [...history, ...much].reduce(inventoryDecider.evolve, inventoryDecider.initial)
    expect(state.settled.younger.size + state.settled.older.size).toBe(2)
  })
  it('refuses a reservation asked for so long ago that its end may be forgotten', () => {
    const much = [1, 2].map((n) => released(0, order(n + 1), later(n * settledMemoryMs)))
    expect(when([...history, ...much], reserve(1))).toBe('reservation-settled')
    const fresh = { ...reserve(1, order(9)), at: later(2 * settledMemoryMs) }
    expect(when([...history, ...much], fresh)).toMatchObject([{ type: 'StockReserved' }])
  })
  it('is whole until something was forgotten, so the age of a command does not matter before', () => {
    const old = { ...reserve(1, order(9)), at: later(-99 * settledMemoryMs) }
    expect(when([...history, released(0, order(2), later(settledMemoryMs))], old)).toMatchObject([
      { type: 'StockReserved' },
    ])
  })
})

const commands: fc.Arbitrary<InventoryCommand> = fc.oneof(
  fc.integer({ min: 1, max: 20 }).map(receive),
  fc.integer({ min: -20, max: 20 }).map(adjust),
  fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 6 })).map(([n, id]) => reserve(n, order(id))),
  fc.integer({ min: 1, max: 6 }).map((id) => release(order(id))),
  fc.integer({ min: 1, max: 6 }).map((id) => commit(order(id))),
)

const run = (
  sequence: readonly InventoryCommand[],
  check: (state: Inventory, events: readonly InventoryEvent[]) => void,
) => {
  let state = inventoryDecider.initial
  for (const command of sequence) {
    let events: readonly InventoryEvent[] = []
    try {
      events = inventoryDecider.decide(command, state)
    } catch (error) {
      if (!(error instanceof CommandRejected)) throw error
    }
    state = events.reduce(inventoryDecider.evolve, state)
    check(state, events)
  }
  return state
}

describe('whatever is asked', () => {
  it('reserved stays between zero and on hand, and is the sum of what is open', () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 200 }), (sequence) => {
        run(sequence, (state) => {
          expect(state.reserved).toBeGreaterThanOrEqual(0)
          expect(availableOf(state)).toBeGreaterThanOrEqual(0)
          expect(state.open.reduce((sum, quantity) => sum + quantity, 0)).toBe(state.reserved)
        })
      }),
    )
  })

  it('a reserve, release or commit that is repeated changes nothing or is refused', () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 50 }), commands, (sequence, command) => {
        fc.pre(command.type !== 'ReceiveStock' && command.type !== 'AdjustStock')
        const once = run([...sequence, command], () => undefined)
        run([...sequence, command, command], () => undefined)
        expect(run([...sequence, command, command], () => undefined)).toEqual(once)
      }),
    )
  })

  it('a state that was packed and unpacked decides like the original', () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 50 }), (sequence) => {
        const state = run(sequence, () => undefined)
        const form = inventoryDecider.snapshot
        const back = form?.unpack(JSON.parse(JSON.stringify(form.pack(state))))
        expect(back).toEqual(state)
      }),
    )
  })
})
