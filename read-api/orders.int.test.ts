import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask } from '../test/support/ask.ts'
import { ada, type GivenOrder, givenOrder } from '../test/support/given-order.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
const ten: GivenOrder[] = []
const customerId = 'customer-10'

beforeAll(async () => {
  side = await openReadSide()
  for (let n = 0; n < 10; n += 1) {
    const placedAt = `2026-03-${String(n + 1).padStart(2, '0')}T10:00:00.000Z`
    ten.push(givenOrder(side, { customerId, placedAt, amount: 100 * (10 - n), sku: n % 2 ? 'odd' : 'even' }))
  }
  for (const order of ten) await side.record(order.stream, order.placed)
  const [first, second, third] = ten
  if (!first || !second || !third) throw new Error('there are ten orders')
  await side.record(first.stream, first.confirmed, first.shipped, first.delivered)
  await side.record(second.stream, second.confirmed)
  await side.record(third.stream, third.cancelled)
  await side.settled()
})
afterAll(() => side.close())

const idsOf = (orders: readonly { orderId: string }[]) => orders.map((order) => order.orderId)
const ids = () => idsOf(ten)

/** Follows the cursors to the end. */
const allPages = async (path: string, between: () => Promise<unknown> = async () => undefined) => {
  const seen: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body } = await ask(side, `${path}${cursor && `&cursor=${cursor}`}`)
    expect(status).toBe(200)
    seen.push(...idsOf(body.orders))
    cursor = body.nextCursor
    await between()
  }
  return seen
}

describe('GET /v1/orders', () => {
  test('pages under every filter at once, each of which changes the question', async () => {
    const base =
      '/v1/orders?limit=2&sort=-placedAt&customerId=customer-10&status=placed&placedFrom=2026-03-01T00:00:00.000Z' +
      '&placedTo=2026-04-01T00:00:00.000Z&totalFrom=0'
    for (const path of [`${base}&sku=odd&totalTo=999999`, `${base}&totalTo=999999`, `${base}&sku=odd`]) {
      const expected = ten.filter((_, n) => n > 2 && (n % 2 === 1 || !path.includes('sku=odd')))
      // Often enough for every connection of the pool to have prepared the others before.
      for (let round = 0; round < 8; round += 1) expect(await allPages(path)).toEqual(idsOf(expected).reverse())
    }
  })

  test('lists the newest first', async () => {
    const { body } = await ask(side, '/v1/orders')
    expect(idsOf(body.orders)).toEqual(ids().reverse())
    expect(body.nextCursor).toBeNull()
    expect(body.orders.at(-1)).toEqual({
      orderId: ten[0]?.orderId,
      revision: '3',
      status: 'delivered',
      customerId,
      lineCount: 1,
      units: 2,
      total: { amount: 2_000, currency: 'EUR' },
      placedAt: '2026-03-01T10:00:00.000Z',
      updatedAt: '2026-03-01T10:00:00.000Z',
    })
  })

  test.each([
    ['sort=placedAt', (all: string[]) => all],
    ['sort=-placedAt', (all: string[]) => [...all].reverse()],
    ['sort=-total', (all: string[]) => all],
    ['sort=total', (all: string[]) => [...all].reverse()],
    ['status=cancelled', (all: string[]) => all.slice(2, 3)],
    ['sku=even&sort=placedAt', (all: string[]) => all.filter((_, n) => n % 2 === 0)],
    [`customerId=${customerId}&sort=placedAt`, (all: string[]) => all],
    ['customerId=nobody', () => []],
    [
      'placedFrom=2026-03-03T10:00:00.000Z&placedTo=2026-03-05T10:00:00.000Z&sort=placedAt',
      (all: string[]) => all.slice(2, 4),
    ],
    ['totalFrom=400&totalTo=800&sort=-total', (all: string[]) => all.slice(6, 9)],
  ])('%s filters and sorts, in pages of three as in one', async (query, expected) => {
    const { body } = await ask(side, `/v1/orders?${query}`)
    expect(idsOf(body.orders)).toEqual(expected(ids()))
    expect(await allPages(`/v1/orders?${query}&limit=3`)).toEqual(expected(ids()))
  })

  test('pages stay whole while orders come in', async () => {
    const insert = async () => {
      const order = givenOrder(side, { customerId: 'other', placedAt: '2026-03-05T10:00:00.000Z', amount: 550 })
      await side.record(order.stream, order.placed)
      await side.settled()
    }
    for (const sort of ['placedAt', '-placedAt', 'total', '-total']) {
      const seen = await allPages(`/v1/orders?sort=${sort}&limit=2`, insert)
      expect(new Set(seen).size).toBe(seen.length)
      const old = sort === 'placedAt' || sort === '-total' ? ids() : ids().reverse()
      expect(seen.filter((id) => ids().includes(id))).toEqual(old)
    }
  })

  test.each([
    'limit=0',
    'limit=201',
    'limit=ten',
    'limit=1&limit=2',
    'status=lost',
    'sort=colour',
    'placedFrom=yesterday',
    'totalFrom=-1',
    'totalFrom=1.5',
    'colour=red',
    'waitMs=10001',
    'cursor=***',
  ])('?%s is refused as an invalid request', async (query) => {
    const { status, body, headers } = await ask(side, `/v1/orders?${query}`)
    expect([status, body.code]).toEqual([400, 'invalid-request'])
    expect(headers.get('content-type')).toContain('application/problem+json')
  })

  test('a cursor of another question is refused', async () => {
    const { body } = await ask(side, '/v1/orders?limit=2')
    for (const query of [`sort=total&cursor=${body.nextCursor}`, `sku=odd&cursor=${body.nextCursor}`, 'cursor=abcdef'])
      expect((await ask(side, `/v1/orders?${query}`)).body).toMatchObject({ status: 400, code: 'invalid-cursor' })
  })
})

describe('GET /v1/customers/:customerId/orders', () => {
  test('lists the orders of one customer, newest first', async () => {
    const { body } = await ask(side, `/v1/customers/${customerId}/orders?limit=3`)
    expect(idsOf(body.orders)).toEqual(ids().reverse().slice(0, 3))
    const next = await ask(side, `/v1/customers/${customerId}/orders?limit=3&cursor=${body.nextCursor}`)
    expect(idsOf(next.body.orders)).toEqual(ids().reverse().slice(3, 6))
    const elsewhere = await ask(side, `/v1/customers/other/orders?limit=3&cursor=${body.nextCursor}`)
    expect(elsewhere.body.code).toBe('invalid-cursor')
  })

  test('of nobody is not found', async () => {
    expect((await ask(side, '/v1/customers/nobody/orders')).body).toMatchObject({
      status: 404,
      code: 'customer-not-found',
    })
    expect((await ask(side, '/v1/customers/no%20body/orders')).body).toMatchObject({ status: 400 })
  })
})

describe('GET /v1/orders/:orderId', () => {
  test('shows the order with its person, its revision as ETag, and nothing that pays', async () => {
    const { headers, body } = await ask(side, `/v1/orders/${ten[0]?.orderId}`)
    expect(headers.get('etag')).toBe('"3"')
    expect(body).toMatchObject({
      orderId: ten[0]?.orderId,
      revision: '3',
      status: 'delivered',
      customer: { id: customerId, name: ada.name, email: ada.email },
      shippingAddress: ada.address,
      carrier: 'DHL',
      payment: null,
      fulfilment: null,
    })
    expect(JSON.stringify(body)).not.toMatch(/tok_approve|ciphertext/)
  })

  test('answers 304 to a client that has this revision', async () => {
    const path = `/v1/orders/${ten[0]?.orderId}`
    for (const tag of ['"3"', 'W/"3"', '"1", "3"', '*']) {
      const { status, body } = await ask(side, path, { 'If-None-Match': tag })
      expect([status, body]).toEqual([304, null])
    }
    expect((await ask(side, path, { 'If-None-Match': '"2"' })).status).toBe(200)
  })

  test('shows the payment and the fulfilment beside it', async () => {
    const order = givenOrder(side)
    const { orderId } = order
    await side.record(order.stream, order.placed)
    await side.record(`payment-${orderId}`, {
      type: 'AuthorisationRequested',
      data: {
        orderId,
        customerId: order.customerId,
        amount: { amount: 2_500, currency: 'EUR' },
        paymentToken: 'tok_approve',
        gatewayKey: 'key-1',
        requestedAt: '2026-03-01T10:00:00.000Z',
      },
    })
    await side.database.query(
      `insert into saga.instances values ($1, $2, 'running', null, null, null, 1, 4, now(), now(), 0)`,
      [orderId, order.customerId],
    )
    await side.settled()
    const { body } = await ask(side, `/v1/orders/${orderId}`)
    expect(body).toMatchObject({
      payment: { status: 'requested' },
      fulfilment: { status: 'running', waitingFor: null },
    })
    // The tag is the order's alone: what moves beside the order must not be hidden behind a 304.
    expect((await ask(side, `/v1/orders/${orderId}`, { 'If-None-Match': '"0"' })).status).toBe(200)
  })

  test('of an unknown id is not found, of no id at all is refused', async () => {
    expect((await ask(side, `/v1/orders/${randomUUID()}`)).body).toMatchObject({ status: 404, code: 'order-not-found' })
    expect((await ask(side, '/v1/orders/17')).body).toMatchObject({ status: 400, code: 'invalid-request' })
    expect((await ask(side, `/v1/orders/${randomUUID()}/mood`)).body).toMatchObject({ code: 'route-not-found' })
  })
})

describe('GET /v1/orders/:orderId?asOf=', () => {
  test('a revision shows the order as it was then', async () => {
    const path = `/v1/orders/${ten[0]?.orderId}?asOf=`
    expect((await ask(side, `${path}0`)).body).toMatchObject({ status: 'placed', revision: '0', confirmedAt: null })
    expect((await ask(side, `${path}2`)).body).toMatchObject({ status: 'shipped', revision: '2', deliveredAt: null })
    expect((await ask(side, `${path}0`)).body.customer).toEqual({ id: customerId, name: ada.name, email: ada.email })
    expect((await ask(side, `${path}4`)).body).toMatchObject({ status: 400, code: 'in-the-future', revision: '3' })
  })

  test('a time shows the order as it was then', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed)
    await side.record(order.stream, order.confirmed)
    const { events } = await side.store.readStream(order.stream)
    const path = `/v1/orders/${order.orderId}?asOf=`
    expect((await ask(side, path + events[1]?.recordedAt)).body).toMatchObject({ status: 'confirmed', revision: '1' })
    expect((await ask(side, `${path}2020-01-01T00:00:00.000Z`)).body).toMatchObject({ code: 'order-not-found' })
    expect((await ask(side, `${path}2999-01-01T00:00:00.000Z`)).body).toMatchObject({ code: 'in-the-future' })
  })

  test('of an unknown order is not found, of nonsense is refused', async () => {
    expect((await ask(side, `/v1/orders/${randomUUID()}?asOf=0`)).body).toMatchObject({ code: 'order-not-found' })
    for (const asOf of ['-1', '1.5', 'yesterday', '', '2026-01-01', '99999999999999999999'])
      expect((await ask(side, `/v1/orders/${ten[0]?.orderId}?asOf=${asOf}`)).body).toMatchObject({
        code: 'invalid-request',
      })
  })
})

test('a forgotten person shows as null, now and in the past', async () => {
  const order = givenOrder(side)
  await side.record(order.stream, order.placed, order.confirmed)
  const { placed } = order
  if (placed.type !== 'OrderPlaced') throw new Error('it was placed')
  await side.record(`customer-${order.customerId}`, {
    type: 'PersonalDataForgotten',
    data: {
      customerId: order.customerId,
      keyIds: [placed.data.personal.keyId],
      forgottenAt: '2026-03-02T10:00:00.000Z',
    },
  })
  await side.settled()
  for (const query of ['', '?asOf=0']) {
    const { body } = await ask(side, `/v1/orders/${order.orderId}${query}`)
    expect(body).toMatchObject({ customer: { id: order.customerId, name: null, email: null }, shippingAddress: null })
  }
})
