import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DomainEvent } from '../schemas/events.ts'
import { ask } from '../test/support/ask.ts'
import { type GivenOrder, givenOrder } from '../test/support/given-order.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

const at = '2026-03-01T10:00:00.000Z'
const eur = (amount: number) => ({ amount, currency: 'EUR' })

let side: ReadSide
let order: GivenOrder

const product = (sku: string, category: string, brand: string, amount: number): DomainEvent => ({
  type: 'ProductRegistered',
  data: { sku, name: `The ${sku}`, description: '', brand, category, price: eur(amount), registeredAt: at },
})

beforeAll(async () => {
  side = await openReadSide()
  await side.record('product-mug', product('mug', 'kitchen', 'Clay & Co', 1_250))
  await side.record('product-plate', product('plate', 'kitchen', 'Clay & Co', 900))
  await side.record('product-spoon', product('spoon', 'kitchen', 'Sterling', 400))
  await side.record('product-lamp', product('lamp', 'living', 'Lumen', 8_000))
  await side.record('inventory-mug', { type: 'StockReceived', data: { sku: 'mug', quantity: 10, receivedAt: at } })
  order = givenOrder(side, { customerId: 'ada' })
  const { orderId, customerId } = order
  await side.record(order.stream, order.placed, order.confirmed, order.shipped)
  await side.record('inventory-mug', {
    type: 'StockReserved',
    data: { sku: 'mug', orderId, quantity: 2, reservedAt: at },
  })
  const gateway = { orderId, customerId, gatewayKey: 'secret-key', requestedAt: at }
  const refund = { orderId, customerId, refundId: randomUUID(), amount: eur(500) }
  await side.record(
    `payment-${orderId}`,
    { type: 'AuthorisationRequested', data: { ...gateway, amount: eur(2_500), paymentToken: 'tok_approve' } },
    {
      type: 'PaymentAuthorised',
      data: { orderId, customerId, amount: eur(2_500), gatewayReference: 'ref-1', authorisedAt: at },
    },
    { type: 'CaptureRequested', data: { ...gateway, amount: eur(2_500) } },
    { type: 'PaymentCaptured', data: { orderId, customerId, amount: eur(2_500), capturedAt: at } },
    { type: 'RefundRequested', data: { ...refund, reason: 'chipped', gatewayKey: 'secret-key', requestedAt: at } },
    { type: 'PaymentRefunded', data: { ...refund, refundedAt: '2026-03-03T10:00:00.000Z' } },
  )
  await side.settled()
})
afterAll(() => side.close())

describe('GET /v1/orders/:orderId/timeline', () => {
  test('tells everything that happened to the order, with its causes, and no secret', async () => {
    const { body } = await ask(side, `/v1/orders/${order.orderId}/timeline`)
    expect(body.entries.map((entry: { type: string }) => entry.type)).toEqual([
      'OrderPlaced',
      'OrderConfirmed',
      'OrderShipped',
      'StockReserved',
      'AuthorisationRequested',
      'PaymentAuthorised',
      'CaptureRequested',
      'PaymentCaptured',
      'RefundRequested',
      'PaymentRefunded',
    ])
    expect(body.entries[0]).toMatchObject({
      stream: order.stream,
      revision: '0',
      causes: { actor: 'test:nobody', commandId: expect.any(String), correlationId: expect.any(String) },
    })
    expect(JSON.stringify(body)).not.toMatch(/tok_approve|ciphertext|secret-key/)
  })

  test('comes in pages', async () => {
    const first = await ask(side, `/v1/orders/${order.orderId}/timeline?limit=6`)
    const second = await ask(side, `/v1/orders/${order.orderId}/timeline?limit=6&cursor=${first.body.nextCursor}`)
    expect([first.body.entries.length, second.body.entries.length]).toEqual([6, 4])
    expect(second.body.nextCursor).toBeNull()
    const other = await ask(side, `/v1/orders/${randomUUID()}/timeline?cursor=${first.body.nextCursor}`)
    expect(other.body.code).toBe('invalid-cursor')
  })

  test('of an unknown order is not found', async () => {
    expect((await ask(side, `/v1/orders/${randomUUID()}/timeline`)).body).toMatchObject({ code: 'order-not-found' })
  })
})

describe('GET /v1/products', () => {
  const skus = (body: { products: { sku: string }[] }) => body.products.map(({ sku }) => sku)

  test('lists the catalogue with facets', async () => {
    const { body } = await ask(side, '/v1/products')
    expect(skus(body)).toEqual(['lamp', 'mug', 'plate', 'spoon'])
    expect(body.facets).toEqual({
      categories: [
        { value: 'kitchen', productCount: 3 },
        { value: 'living', productCount: 1 },
      ],
      brands: [
        { value: 'Clay & Co', productCount: 2 },
        { value: 'Lumen', productCount: 1 },
        { value: 'Sterling', productCount: 1 },
      ],
      prices: [{ min: eur(400), max: eur(8_000), productCount: 4 }],
    })
  })

  test('filters by category, brand and price; a facet ignores its own filter', async () => {
    expect(skus((await ask(side, '/v1/products?category=kitchen&priceFrom=500')).body)).toEqual(['mug', 'plate'])
    expect(skus((await ask(side, '/v1/products?currency=USD')).body)).toEqual([])
    const { body } = await ask(side, '/v1/products?brand=Sterling')
    expect(skus(body)).toEqual(['spoon'])
    expect(body.facets.brands).toHaveLength(3)
    expect(body.facets.categories).toEqual([{ value: 'kitchen', productCount: 1 }])
  })

  test('comes in pages, the facets with the first', async () => {
    const first = await ask(side, '/v1/products?limit=3')
    const second = await ask(side, `/v1/products?limit=3&cursor=${first.body.nextCursor}`)
    expect([skus(first.body), skus(second.body)]).toEqual([['lamp', 'mug', 'plate'], ['spoon']])
    expect(second.body).not.toHaveProperty('facets')
  })

  test.each(['limit=0', 'limit=201', 'priceFrom=-1', 'currency=euro', 'colour=red'])(
    '?%s is refused',
    async (query) => {
      expect((await ask(side, `/v1/products?${query}`)).body).toMatchObject({ status: 400, code: 'invalid-request' })
    },
  )
})

test('GET /v1/products/:sku shows a product with its stock', async () => {
  const { body, headers } = await ask(side, '/v1/products/mug')
  expect(headers.get('etag')).toBe('"0"')
  expect(body).toMatchObject({
    sku: 'mug',
    price: eur(1_250),
    stock: { onHandUnits: 10, reservedUnits: 2, availableUnits: 8 },
  })
  expect((await ask(side, '/v1/products/lamp')).body.stock).toBeNull()
  expect((await ask(side, '/v1/products/none')).body).toMatchObject({ status: 404, code: 'product-not-found' })
  expect((await ask(side, '/v1/products/-')).body).toMatchObject({ status: 400, code: 'invalid-request' })
})

test('GET /v1/stock/:sku shows the stock in units', async () => {
  const { body } = await ask(side, '/v1/stock/mug')
  expect(body).toMatchObject({ sku: 'mug', revision: '1', onHandUnits: 10, reservedUnits: 2, availableUnits: 8 })
  expect((await ask(side, '/v1/stock/none')).body).toMatchObject({ status: 404, code: 'stock-not-found' })
  expect((await ask(side, '/v1/stock/mug?at=now')).body).toMatchObject({ status: 400, code: 'invalid-request' })
})

test('GET /v1/payments/:orderId shows what was charged and refunded', async () => {
  const { body } = await ask(side, `/v1/payments/${order.orderId}`)
  expect(body).toMatchObject({
    status: 'partially_refunded',
    authorised: eur(2_500),
    captured: eur(2_500),
    refunded: eur(500),
    refunds: [{ amount: eur(500), reason: 'chipped', status: 'refunded' }],
  })
  expect((await ask(side, `/v1/payments/${randomUUID()}`)).body).toMatchObject({ code: 'payment-not-found' })
  expect((await ask(side, '/v1/payments/7')).body).toMatchObject({ status: 400, code: 'invalid-request' })
})

describe('GET /v1/sales', () => {
  test('sums up days, both ends included', async () => {
    const { body } = await ask(side, '/v1/sales?by=day&from=2026-03-01&to=2026-03-03&currency=EUR')
    expect(body).toMatchObject({ by: 'day', from: '2026-03-01', to: '2026-03-03' })
    expect(body.days).toMatchObject([
      { day: '2026-03-01', orderCount: 1, units: 2, revenue: eur(2_500), refundCount: 0 },
      { day: '2026-03-03', orderCount: 0, refundCount: 1, refunded: eur(500) },
    ])
    expect((await ask(side, '/v1/sales?from=2026-03-01&currency=USD')).body.days).toEqual([])
  })

  test('spans the last 30 days by itself', async () => {
    const { body } = await ask(side, '/v1/sales')
    expect((Date.parse(body.to) - Date.parse(body.from)) / 86_400_000).toBe(29)
  })

  test.each([
    'by=week',
    'from=2026-03-03&to=2026-03-01',
    'from=2024-01-01&to=2026-01-01',
    'from=2026-02-30',
    'from=today',
    'currency=euro',
  ])('?%s is refused', async (query) => {
    expect((await ask(side, `/v1/sales?${query}`)).body).toMatchObject({ status: 400, code: 'invalid-request' })
  })
})

describe('GET /v1/leaderboards', () => {
  test('ranks products and customers by revenue and by units', async () => {
    expect((await ask(side, '/v1/leaderboards/products?by=revenue')).body).toEqual({
      board: 'products',
      by: 'revenue',
      window: 'all',
      windowStart: null,
      currency: 'EUR',
      places: [{ rank: 1, key: 'mug', name: 'The mug', revenue: eur(2_500), units: null }],
    })
    expect((await ask(side, '/v1/leaderboards/customers?by=units')).body).toMatchObject({
      currency: null,
      places: [{ rank: 1, key: 'ada', name: null, revenue: null, units: 2 }],
    })
  })

  test('looks at the hour or day of a moment', async () => {
    const then = await ask(side, '/v1/leaderboards/products?by=units&window=day&at=2026-03-01T23:00:00.000Z')
    expect(then.body).toMatchObject({ windowStart: '2026-03-01T00:00:00Z', places: [{ key: 'mug', units: 2 }] })
    const later = await ask(side, '/v1/leaderboards/products?window=day&at=2026-03-02T00:00:00.000Z')
    expect(later.body).toMatchObject({ currency: null, places: [] })
  })

  test.each(['by=fame', 'window=year', 'at=noon', 'limit=0', 'limit=101', 'currency=euro'])(
    '?%s is refused',
    async (query) => {
      const { body } = await ask(side, `/v1/leaderboards/products?${query}`)
      expect(body).toMatchObject({ status: 400, code: 'invalid-request' })
    },
  )

  test('of something else is not found', async () => {
    expect((await ask(side, '/v1/leaderboards/dogs')).body).toMatchObject({ status: 404, code: 'route-not-found' })
  })
})

describe('GET /v1/search', () => {
  test('needs words', async () => {
    expect((await ask(side, '/v1/search/products?q=mug')).body).toEqual({ hits: [] })
    for (const path of ['products', 'orders'])
      for (const query of ['', '?q=', '?q=mug&limit=0', '?q=mug&limit=101', `?q=${'x'.repeat(201)}`, '?q=a%00b'])
        expect((await ask(side, `/v1/search/${path}${query}`)).body).toMatchObject({
          status: 400,
          code: 'invalid-request',
        })
  })
})
