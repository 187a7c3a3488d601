import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { bucketOf } from '../platform/leaderboard-store.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { orderStream } from '../schemas/streams.ts'
import { ask } from '../test/support/ask.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide()
})
afterAll(() => side.close())

const sale = (customerId: string, currency: string, lines: Readonly<Record<string, number>>, confirmedAt: string) => {
  const orderId = randomUUID()
  const data = {
    ...{ orderId, customerId },
    lines: Object.entries(lines).map(([sku, quantity]) => ({
      sku,
      name: sku,
      quantity,
      unitPrice: { amount: 500, currency },
    })),
    total: { amount: 500 * Object.values(lines).reduce((sum, quantity) => sum + quantity, 0), currency },
  }
  const confirmed: DomainEvent = { type: 'OrderConfirmed', data: { ...data, confirmedAt } }
  const cancelled: DomainEvent = {
    type: 'OrderCancelled',
    data: { ...data, reason: 'customer_request', confirmedAt, cancelledAt: new Date().toISOString() },
  }
  return { stream: orderStream(orderId), confirmed, cancelled }
}

const now = new Date()
const yesterday = new Date(now.getTime() - 86_400_000).toISOString()

/** Questions about an hour or day that is named; by default it is that of the instant. */
const questions = ['products', 'customers'].flatMap((board) =>
  ['by=units', 'by=revenue', 'by=revenue&currency=JPY'].flatMap((by) =>
    [
      'window=all',
      `window=hour&at=${yesterday}`,
      `window=day&at=${yesterday}`,
      `window=day&at=${now.toISOString()}`,
    ].map((window) => `/v1/leaderboards/${board}?${by}&${window}`),
  ),
)

test('what a leaderboard showed after each sale and cancellation, it shows of that position and time', async () => {
  await side.record('product-mug', {
    type: 'ProductRegistered',
    data: {
      ...{ sku: 'mug', name: 'The mug', description: '', brand: 'Clay', category: 'kitchen' },
      ...{ price: { amount: 500, currency: 'EUR' }, registeredAt: yesterday },
    },
  })
  const first = sale('ada', 'EUR', { mug: 2, plate: 1 }, yesterday)
  const second = sale('bob', 'JPY', { mug: 1, spoon: 9 }, now.toISOString())
  const third = sale('ada', 'EUR', { plate: 1 }, yesterday)
  const history: { position: bigint; shown: unknown[] }[] = []
  for (const [stream, event] of [
    [first.stream, first.confirmed],
    [second.stream, second.confirmed],
    [third.stream, third.confirmed],
    [first.stream, first.cancelled],
    [second.stream, second.cancelled],
  ] as const) {
    const position = await side.record(stream, event)
    await side.settled()
    const shown = []
    for (const question of questions) shown.push((await ask(side, question)).body)
    history.push({ position, shown })
  }
  const { events } = await side.store.readAll({ after: 0n, limit: 100 })
  for (const { position, shown } of history) {
    const time = events.find((event) => event.position === position)?.recordedAt
    for (const [index, question] of questions.entries()) {
      expect((await ask(side, `${question}&asOf=position:${position}`)).body).toEqual(shown[index])
      expect((await ask(side, `${question}&asOf=${time}`)).body).toEqual(shown[index])
    }
    const { body } = await ask(side, `/v1/leaderboards/products?window=hour&asOf=position:${position}`)
    expect(body.windowStart).toBe(bucketOf('hour', time ?? ''))
  }
})

test('what cannot be answered is refused with its reason', async () => {
  const path = '/v1/leaderboards/products?asOf='
  expect((await ask(side, `${path}3`)).body).toMatchObject({ status: 400, code: 'board-without-revisions' })
  expect((await ask(side, `${path}position:999`)).body).toMatchObject({
    status: 400,
    code: 'in-the-future',
    head: expect.any(String),
  })
  expect((await ask(side, `${path}2999-01-01T00:00:00.000Z`)).body).toMatchObject({
    status: 400,
    code: 'in-the-future',
  })
  expect((await ask(side, `${path}position:`)).body).toMatchObject({
    code: 'invalid-request',
    problems: [{ path: '/asOf', message: expect.stringContaining('position:1234') }],
  })
})

test('while the event store is away, so is the past, and nothing else', async () => {
  const away = async () => {
    throw new EngineUnavailable('EventStoreDB', new Error('away'))
  }
  const store = { readStream: away, readAll: away, head: away, identity: away }
  const without = await openReadSide({ deps: { store } })
  try {
    await without.record('inventory-mug', {
      type: 'StockReceived',
      data: { sku: 'mug', quantity: 1, receivedAt: yesterday },
    })
    await without.settled()
    for (const path of ['/v1/leaderboards/products', '/v1/stock/mug']) {
      expect((await ask(without, path)).status).toBe(200)
      for (const asOf of ['position:1', yesterday])
        expect((await ask(without, `${path}?asOf=${asOf}`)).body).toMatchObject({
          ...{ status: 503, code: 'engine-unavailable', engine: 'EventStoreDB' },
        })
    }
  } finally {
    await without.close()
  }
})
