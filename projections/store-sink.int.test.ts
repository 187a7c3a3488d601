import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPersonalDataVault } from '../platform/personal-data.ts'
import { createPostgresLeaderboardStore } from '../platform/postgres-leaderboard-store.ts'
import { createPostgresSearchIndex } from '../platform/postgres-search-index.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { confirmationsAndCancellations, naiveBoards } from '../test/support/leaderboard-events.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { leaderboards } from './leaderboards.ts'
import { orderSearch } from './order-search.ts'
import { productSearch } from './product-search.ts'

let test: TestDatabase
const identity = randomUUID()
const at = '2026-11-21T12:00:00.000Z'
beforeAll(async () => {
  test = await openTestDatabase()
})
afterAll(() => test?.drop())

const recorded = (position: number, event: DomainEvent) => ({ ...event, position: BigInt(position) }) as RecordedEvent

describe('leaderboards', () => {
  const open = async () => {
    const { database } = test
    const store = createPostgresLeaderboardStore({
      database,
      schema: 'leaderboards',
      clock: { now: () => new Date(at) },
    })
    const { sink } = leaderboards({ store })
    await sink.prepare(identity)
    return sink
  }
  const boards = async (): Promise<Map<string, bigint>> => {
    const rows = await test.database.query<{ id: string; score: bigint }>(
      `select concat_ws(' ', board, measure, currency, span, to_char(bucket at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), key) as id, score
       from leaderboards.scores where score > 0`,
    )
    return new Map(rows.map(({ id, score }) => [id, score] as const).sort())
  }

  it('equal a naive fold after any events in any batches, each delivered twice', async () => {
    const sink = await open()
    await fc.assert(
      fc.asyncProperty(confirmationsAndCancellations, async ({ events, batches }) => {
        await sink.reset()
        let from = 0n
        for (const batch of batches) {
          const to = from + BigInt(batch.length) + 1n
          const stretch = { partition: 0, events: batch, from, to }
          const outcomes = await Promise.all([sink.apply(stretch), sink.apply(stretch)])
          expect(outcomes.toSorted()).toEqual(['applied', 'fenced'])
          from = to
        }
        expect(await boards()).toEqual(naiveBoards(events))
      }),
      { numRuns: 25 },
    )
  })

  it('take events that were parked without moving the checkpoint, and nothing when the book-keeping fails', async () => {
    const sink = await open()
    await sink.reset()
    const line = { sku: 'phone', name: 'Phone', quantity: 1, unitPrice: { amount: 5, currency: 'EUR' } }
    const order = {
      orderId: randomUUID(),
      customerId: 'ada',
      lines: [line],
      total: { amount: 5, currency: 'EUR' },
      confirmedAt: at,
    }
    const events = [recorded(3, { type: 'OrderConfirmed', data: order })]
    expect(await sink.apply({ partition: 0, events: [], from: 0n, to: 9n })).toBe('applied')
    const record = () => Promise.reject(new Error('somebody else took it'))
    await expect(sink.applyLate({ partition: 0, events, record })).rejects.toThrow('somebody else')
    expect(await boards()).toEqual(new Map())
    await sink.applyLate({ partition: 0, events })
    expect((await sink.checkpoint(0)).position).toBe(9n)
    expect((await boards()).get('products units  all 1970-01-01T00:00:00Z phone')).toBe(1n)
  })
})

describe('search', () => {
  const open = async () => {
    const { database } = test
    const index = createPostgresSearchIndex({
      database,
      schemas: { products: 'product_search', orders: 'order_search' },
    })
    const vault = createPersonalDataVault(database)
    const orders = orderSearch({ index: index.orders, vault }).sink
    const products = productSearch({ index: index.products }).sink
    await Promise.all([orders.prepare(identity), products.prepare(identity)])
    await Promise.all([orders.reset(), products.reset()])
    return { index, vault, orders, products }
  }
  const address = { street: 'Long Lane 1', city: 'Town', postalCode: '12345', country: 'GB' }
  const personal = (name: string) => ({ name, email: `${name.toLowerCase().replace(' ', '.')}@example.org`, address })
  const line = { sku: 'PHONE-1', name: 'Phone One', quantity: 2, unitPrice: { amount: 100, currency: 'EUR' } }
  const total = { amount: 200, currency: 'EUR' }

  it('follows an order through its states, in one batch or in many, also when it comes again', async () => {
    const { index, vault, orders } = await open()
    const order = { orderId: randomUUID(), customerId: 'c1' }
    const sealed = await vault.seal('c1', personal('Ada Lovelace'))
    const placed = { ...order, lines: [line], total, personal: sealed, paymentToken: 'tok', placedAt: at }
    const first = [
      recorded(1, { type: 'OrderPlaced', data: placed }),
      recorded(2, { type: 'OrderConfirmed', data: { ...order, lines: [line], total, confirmedAt: at } }),
    ]
    expect(await orders.apply({ partition: 0, events: first, from: 0n, to: 2n })).toBe('applied')
    const [hit] = await index.orders.search({ q: 'lovelace confirmed', limit: 5 })
    expect(hit?.document).toMatchObject({ ...order, status: 'confirmed', total, person: { name: 'Ada Lovelace' } })

    const shipment = { ...order, carrier: 'DHL', trackingId: 'T-1', shippedAt: at }
    const second = [...first, recorded(3, { type: 'OrderShipped', data: shipment })]
    expect(await orders.apply({ partition: 0, events: second, from: 2n, to: 3n })).toBe('applied')
    expect((await index.orders.search({ q: 't-1', limit: 5 }))[0]?.document.status).toBe('shipped')
  })

  it('refuses, whole, a batch with an order that was never placed', async () => {
    const { orders } = await open()
    const order = { orderId: randomUUID(), customerId: 'c1' }
    const events = [recorded(1, { type: 'OrderDelivered', data: { ...order, deliveredAt: at } })]
    await expect(orders.apply({ partition: 0, events, from: 0n, to: 1n })).rejects.toThrow('never placed')
    expect((await orders.checkpoint(0)).position).toBe(0n)
  })

  it('shows nobody who was forgotten, whether the order was indexed before or after', async () => {
    const { index, vault, orders } = await open()
    const order = (position: number, sealed: Awaited<ReturnType<typeof vault.seal>>) => {
      const data = { orderId: randomUUID(), customerId: 'c2', lines: [line], total, personal: sealed }
      return recorded(position, { type: 'OrderPlaced', data: { ...data, paymentToken: 'tok', placedAt: at } })
    }
    const sealed = await vault.seal('c2', personal('Grace Hopper'))
    const forgotten = { customerId: 'c2', keyIds: [sealed.keyId], forgottenAt: at }
    await orders.apply({ partition: 0, events: [order(1, sealed)], from: 0n, to: 1n })
    expect(await index.orders.search({ q: 'hopper', limit: 5 })).toHaveLength(1)
    await vault.destroy([sealed.keyId])
    const events = [order(2, sealed), recorded(3, { type: 'PersonalDataForgotten', data: forgotten }), order(4, sealed)]
    await orders.apply({ partition: 0, events, from: 1n, to: 4n })
    expect(await index.orders.search({ q: 'hopper', limit: 5 })).toEqual([])
    expect(await index.orders.search({ q: 'c2', limit: 5 })).toHaveLength(3)
    const rows = await test.database.query<{ row: string }>('select o::text as row from order_search.orders o')
    rows.push(...(await test.database.query<{ row: string }>('select w::text as row from order_search.words w')))
    expect(rows.map(({ row }) => row).join()).not.toMatch(/hopper|grace/i)
  })

  it('shows a product at its present price', async () => {
    const { index, products } = await open()
    const product = { sku: 'P-1', name: 'Zeppelin', description: '', brand: 'B', category: 'C', registeredAt: at }
    const events = [
      recorded(1, { type: 'ProductRegistered', data: { ...product, price: { amount: 5, currency: 'EUR' } } }),
      recorded(2, {
        type: 'ProductRepriced',
        data: {
          sku: 'P-1',
          price: { amount: 4, currency: 'EUR' },
          previousPrice: { amount: 5, currency: 'EUR' },
          repricedAt: at,
        },
      }),
    ]
    expect(await products.apply({ partition: 0, events, from: 0n, to: 2n })).toBe('applied')
    const [hit] = await index.products.search({ q: 'zepelin', limit: 5 })
    expect(hit?.document).toEqual({
      sku: 'P-1',
      name: 'Zeppelin',
      description: '',
      brand: 'B',
      category: 'C',
      price: { amount: 4, currency: 'EUR' },
    })
  })
})
