import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { createGuardedPaymentGateway } from '../platform/guarded-payment-gateway.ts'
import { createHttpServer, type HttpServer } from '../platform/http-server.ts'
import { createIdempotencyKeys, type IdempotencyKeys } from '../platform/idempotency-keys.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { createPersonalDataVault } from '../platform/personal-data.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import { createSimulatedPaymentGateway } from '../platform/simulated-payment-gateway.ts'
import { createSnapshotStore } from '../platform/snapshots.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { orderStream, paymentStream, productStream } from '../schemas/streams.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createCommandHandler, type WriteSide } from './command-handler.ts'
import { registerWriteApi } from './routes.ts'

let test: TestDatabase
let store: PostgresEventStore
let server: HttpServer
let commands: WriteSide
const logger = silentLogger

const openServer = (keys: IdempotencyKeys): HttpServer => {
  const metrics = createMetrics()
  const opened = createHttpServer({ logger, metrics })
  const vault = createPersonalDataVault(test.database)
  registerWriteApi(opened, { commands, store, vault, idempotencyKeys: keys, clock: systemClock, logger })
  return opened
}

beforeAll(async () => {
  test = await openTestDatabase()
  store = openPostgresEventStore({ database: test.database, logger })
  const metrics = createMetrics()
  const gateway = createGuardedPaymentGateway({
    gateway: createSimulatedPaymentGateway({ database: test.database }),
    timeoutMs: 30_000,
    logger,
    metrics,
  })
  const snapshots = createSnapshotStore(test.database)
  commands = createCommandHandler({ store, snapshots, gateway, clock: systemClock, logger, metrics })
  server = openServer(createIdempotencyKeys({ database: test.database, logger }))
})
afterAll(async () => {
  await server.close()
  await store.close()
  await test.drop()
})

const send = async (
  method: 'POST' | 'PUT' | 'DELETE',
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
  to: HttpServer = server,
) => {
  const reply = await to.inject({
    method,
    url,
    headers,
    ...(body === undefined ? {} : { payload: body as object | string }),
  })
  return { status: reply.statusCode, headers: reply.headers, text: reply.payload, body: JSON.parse(reply.payload) }
}

const price = (amount: number, currency = 'EUR') => ({ amount, currency })
const register = async (sku: string, amount = 1_999, currency = 'EUR') =>
  send('POST', '/v1/products', {
    sku,
    name: `Product ${sku}`,
    description: '',
    brand: 'Acme',
    category: 'things',
    price: price(amount, currency),
  })
const aSku = async (amount = 1_999, currency = 'EUR') => {
  const sku = `sku-${randomUUID()}`
  await register(sku, amount, currency)
  return sku
}
const order = (lines: { sku: string; quantity: number }[], members: object = {}) => ({
  customer: { id: `c-${randomUUID()}`, name: 'Ada Lovelace', email: 'ada@example.org' },
  shippingAddress: { street: 'Main St 1', city: 'London', postalCode: 'N1', country: 'GB' },
  lines,
  paymentToken: 'tok_approve',
  ...members,
})
const context = () => {
  const commandId = randomUUID()
  return { commandId, correlationId: commandId, causationId: commandId, actor: 'test' }
}
const at = '2026-11-21T09:30:00.000Z'
const typesOf = async (stream: string) =>
  (await store.readStream(stream)).events.map((stored) => decodeEvent(stored).type)

describe('placing an order', () => {
  it('takes prices from the catalogue and says where the order is', async () => {
    const sku = await aSku(1_250)
    const placed = await send('POST', '/v1/orders', order([{ sku, quantity: 3 }]))
    expect(placed.status).toBe(201)
    expect(placed.body).toMatchObject({ status: 'placed', total: price(3_750), revision: '0' })
    expect(placed.headers.location).toBe(`/v1/orders/${placed.body.orderId}`)
    expect(placed.headers.etag).toBe('"0"')
    expect(placed.headers['consistency-token']).toMatch(/^[0-9a-f]{8}-\d+$/)
  })

  it('sums the demand of lines that name the same product', async () => {
    const sku = await aSku(100)
    const placed = await send(
      'POST',
      '/v1/orders',
      order([
        { sku, quantity: 2 },
        { sku, quantity: 3 },
      ]),
    )
    expect(placed.body.total).toEqual(price(500))
    const { events } = await store.readStream(orderStream(placed.body.orderId))
    expect(events[0]?.data).toMatchObject({ lines: [{ sku, quantity: 5 }] })
  })

  it('keeps name, e-mail and address out of the log', async () => {
    const sku = await aSku()
    const placed = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]))
    const { events } = await store.readStream(orderStream(placed.body.orderId))
    expect(JSON.stringify(events.map((event) => event.data))).not.toMatch(/Ada|example\.org|Main St/)
  })

  it('names the products that the catalogue does not have', async () => {
    const refused = await send('POST', '/v1/orders', order([{ sku: 'no-such', quantity: 1 }]))
    expect(refused).toMatchObject({ status: 422, body: { code: 'unknown-product', skus: ['no-such'] } })
  })

  it('refuses a total other than the customer expects and states both', async () => {
    const sku = await aSku(1_000)
    const refused = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }], { expectedTotal: price(900) }))
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'price-changed', expectedTotal: price(900), total: price(1_000) },
    })
  })

  it('refuses products priced in different currencies', async () => {
    const lines = [
      { sku: await aSku(1, 'EUR'), quantity: 1 },
      { sku: await aSku(1, 'USD'), quantity: 1 },
    ]
    expect(await send('POST', '/v1/orders', order(lines))).toMatchObject({
      status: 422,
      body: { code: 'mixed-currencies' },
    })
  })

  it.each([
    ['no lines', { lines: [] }],
    ['a negative quantity', { lines: [{ sku: 'a', quantity: -1 }] }],
    ['a fractional quantity', { lines: [{ sku: 'a', quantity: 1.5 }] }],
    ['a huge quantity', { lines: [{ sku: 'a', quantity: 1e15 }] }],
    ['a price of its own', { lines: [{ sku: 'a', quantity: 1, unitPrice: price(1) }] }],
    ['a quantity as text', { lines: [{ sku: 'a', quantity: '1' }] }],
    ['an unknown member', { coupon: 'x' }],
    [
      'more in sum than can be ordered',
      {
        lines: [
          { sku: 'a', quantity: 9_999 },
          { sku: 'a', quantity: 2 },
        ],
      },
    ],
  ])('refuses %s and writes nothing', async (_, members) => {
    const before = await store.head()
    const refused = await send('POST', '/v1/orders', order([{ sku: 'a', quantity: 1 }], members))
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid-request' } })
    expect(await store.head()).toBe(before)
  })
})

describe('the life of an order', () => {
  it('is confirmed by the saga, shipped and delivered by the operator', async () => {
    const sku = await aSku()
    const { body } = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]))
    const path = `/v1/orders/${body.orderId}`
    const early = await send('POST', `${path}/ship`, { carrier: 'DHL', trackingId: '1' })
    expect(early).toMatchObject({
      status: 409,
      body: { code: 'order-not-shippable', status: 409, currentStatus: 'placed' },
    })
    await commands.handle({ type: 'ConfirmOrder', at, orderId: body.orderId }, context())
    const shipped = await send('POST', `${path}/ship`, { carrier: 'DHL', trackingId: '1' })
    expect(shipped).toMatchObject({ status: 200, body: { status: 'shipped', revision: '2' } })
    expect(await send('POST', `${path}/cancel`)).toMatchObject({ status: 409, body: { code: 'order-not-cancellable' } })
    expect(await send('POST', `${path}/deliver`)).toMatchObject({ status: 200, body: { status: 'delivered' } })
    expect(await send('POST', `${path}/deliver`, {})).toMatchObject({ status: 200, body: { revision: '3' } })
  })

  it('records who cancelled', async () => {
    const sku = await aSku()
    const wanted = order([{ sku, quantity: 1 }])
    const { body } = await send('POST', '/v1/orders', wanted)
    expect(await send('POST', `/v1/orders/${body.orderId}/cancel`)).toMatchObject({ body: { status: 'cancelled' } })
    const { events } = await store.readStream(orderStream(body.orderId))
    expect(events[1]?.metadata.actor).toBe(`customer:${wanted.customer.id}`)
  })

  it('knows no order that was never placed', async () => {
    const missing = await send('POST', `/v1/orders/${randomUUID()}/cancel`)
    expect(missing).toMatchObject({ status: 404, body: { code: 'order-not-found' } })
    expect(await send('POST', '/v1/orders/seven/cancel')).toMatchObject({
      status: 400,
      body: { code: 'invalid-request' },
    })
  })
})

describe('refunds', () => {
  const captured = async (): Promise<string> => {
    const orderId = randomUUID()
    const amount = price(1_000)
    const charge = { orderId, customerId: 'c', amount, paymentToken: 'tok_approve' }
    await commands.handle({ type: 'AuthorisePayment', at, ...charge }, context())
    await commands.handle({ type: 'CapturePayment', at, orderId }, context())
    return orderId
  }

  it('may be partial and never exceed what was captured', async () => {
    const orderId = await captured()
    const path = `/v1/orders/${orderId}/refunds`
    const first = await send('POST', path, { amount: price(700), reason: 'damaged' })
    expect(first).toMatchObject({
      status: 201,
      body: { status: 'refunded', refunded: price(700), captured: price(1_000) },
    })
    const second = await send('POST', path, { amount: price(400), reason: 'damaged' })
    expect(second).toMatchObject({ status: 422, body: { code: 'refund-exceeds-captured', refundable: 300 } })
    const foreign = await send('POST', path, { amount: price(1, 'USD'), reason: 'damaged' })
    expect(foreign).toMatchObject({ status: 422, body: { code: 'currency-mismatch' } })
  })

  it('are made once when the request is repeated with its key', async () => {
    const orderId = await captured()
    const path = `/v1/orders/${orderId}/refunds`
    const key = { 'idempotency-key': 'refund-1' }
    const first = await send('POST', path, { amount: price(100), reason: 'damaged' }, key)
    const again = await send('POST', path, { amount: price(100), reason: 'damaged' }, key)
    expect(again.text).toBe(first.text)
    expect((await typesOf(paymentStream(orderId))).filter((type) => type === 'PaymentRefunded')).toHaveLength(1)
  })
})

describe('products and stock', () => {
  it('registers once and refuses other particulars under the same SKU', async () => {
    const sku = `sku-${randomUUID()}`
    expect(await register(sku)).toMatchObject({ status: 201, body: { sku, price: price(1_999), revision: '0' } })
    expect(await register(sku)).toMatchObject({ status: 200 })
    expect(await register(sku, 5)).toMatchObject({ status: 409, body: { code: 'product-already-registered' } })
  })

  it('reprices for later orders only', async () => {
    const sku = await aSku(100)
    const before = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]))
    expect(await send('PUT', `/v1/products/${sku}/price`, { price: price(200) })).toMatchObject({ status: 200 })
    const after = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]))
    expect([before.body.total, after.body.total]).toEqual([price(100), price(200)])
  })

  it('receives and adjusts stock of registered products only', async () => {
    const sku = await aSku()
    const path = `/v1/products/${sku}/stock`
    expect(await send('POST', path, { receive: 5 })).toMatchObject({ status: 200, body: { onHand: 5, available: 5 } })
    expect(await send('POST', path, { adjust: -2, reason: 'broken' })).toMatchObject({ body: { onHand: 3 } })
    expect(await send('POST', path, { adjust: -4, reason: 'lost' })).toMatchObject({
      status: 409,
      body: { code: 'stock-below-reserved' },
    })
    const unknown = await send('POST', '/v1/products/no-such/stock', { receive: 5 })
    expect(unknown).toMatchObject({ status: 404, body: { code: 'product-not-found' } })
  })
})

describe('If-Match', () => {
  it('lets a command through only at the revision that the client has seen', async () => {
    const sku = await aSku()
    const { body, headers } = await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]))
    const path = `/v1/orders/${body.orderId}/cancel`
    const stale = await send('POST', path, {}, { 'if-match': '"7"' })
    expect(stale).toMatchObject({ status: 412, body: { code: 'precondition-failed', actual: '0' } })
    expect(await send('POST', path, {}, { 'if-match': String(headers.etag) })).toMatchObject({ status: 200 })
  })

  it('is met by nothing that is yet to be made', async () => {
    const sku = `sku-${randomUUID()}`
    const product = { sku, name: 'P', description: '', brand: 'B', category: 'c', price: price(1) }
    const refused = { status: 412, body: { code: 'precondition-failed', actual: '-1' } }
    expect(await send('POST', '/v1/products', product, { 'if-match': '"0"' })).toMatchObject(refused)
    expect(await typesOf(productStream(sku))).toEqual([])
    const wanted = order([{ sku: await aSku(), quantity: 1 }])
    expect(await send('POST', '/v1/orders', wanted, { 'if-match': '"0"' })).toMatchObject(refused)
  })

  it.each(['W/"0"', '*', '0', '"0", "1"', '"x"'])('refuses %s', async (tag) => {
    const refused = await send('POST', `/v1/orders/${randomUUID()}/cancel`, {}, { 'if-match': tag })
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid-precondition' } })
  })
})

describe('Idempotency-Key', () => {
  it('gives the first reply again, byte for byte', async () => {
    const sku = await aSku()
    const wanted = order([{ sku, quantity: 1 }])
    const key = { 'idempotency-key': randomUUID() }
    const first = await send('POST', '/v1/orders', wanted, key)
    const again = await send('POST', '/v1/orders', wanted, key)
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.text).toBe(first.text)
    for (const header of ['location', 'etag', 'consistency-token', 'content-type'])
      expect(again.headers[header]).toBe(first.headers[header])
  })

  it('knows a body again by what it says, not by how it is written', async () => {
    const key = { 'idempotency-key': randomUUID(), 'content-type': 'application/json' }
    const path = `/v1/products/${await aSku()}/stock`
    const first = await send('POST', path, '{"adjust":3,"reason":"counted"}', key)
    const again = await send('POST', path, '{ "reason": "counted",\n "adjust": 3 }', key)
    expect(again).toMatchObject({ status: 200, text: first.text })
    expect(again.headers['idempotency-replayed']).toBe('true')
  })

  it('also repeats a refusal', async () => {
    const key = { 'idempotency-key': randomUUID() }
    const wanted = order([{ sku: 'soon', quantity: 1 }])
    const first = await send('POST', '/v1/orders', wanted, key)
    await register('soon')
    const again = await send('POST', '/v1/orders', wanted, key)
    expect(again).toMatchObject({ status: 422, text: first.text })
    expect(again.headers['content-type']).toMatch(/^application\/problem\+json/)
  })

  it('refuses another body under the same key', async () => {
    const sku = await aSku()
    const key = { 'idempotency-key': randomUUID() }
    await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]), key)
    const other = await send('POST', '/v1/orders', order([{ sku, quantity: 2 }]), key)
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency-key-reused' } })
  })

  it('belongs to one method and path', async () => {
    const [one, other] = [await aSku(), await aSku()]
    const key = { 'idempotency-key': randomUUID() }
    await send('POST', `/v1/products/${one}/stock`, { receive: 1 }, key)
    expect(await send('POST', `/v1/products/${other}/stock`, { receive: 1 }, key)).toMatchObject({ status: 200 })
  })

  it('lets one of many parallel requests through', async () => {
    const sku = await aSku()
    const wanted = order([{ sku, quantity: 1 }])
    const key = { 'idempotency-key': randomUUID() }
    const replies = await Promise.all(Array.from({ length: 20 }, () => send('POST', '/v1/orders', wanted, key)))
    const placed = replies.filter(({ status }) => status === 201)
    expect(new Set(placed.map(({ text }) => text)).size).toBe(1)
    for (const reply of replies)
      if (reply.status !== 201) expect(reply).toMatchObject({ status: 409, body: { code: 'request-in-progress' } })
  })

  it.each([
    ['that is empty', ''],
    ['of 256 characters', 'x'.repeat(256)],
    ['beyond ASCII', 'schlüssel'],
  ])('refuses a key %s', async (_, key) => {
    const refused = await send('POST', '/v1/orders', order([{ sku: 'a', quantity: 1 }]), { 'idempotency-key': key })
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid-idempotency-key' } })
  })

  it('keeps no personal data', async () => {
    const sku = await aSku()
    await send('POST', '/v1/orders', order([{ sku, quantity: 1 }]), { 'idempotency-key': randomUUID() })
    const rows = await test.database.query<{ text: string }>('select i::text as text from platform.idempotency_keys i')
    expect(rows.map((row) => row.text).join()).not.toMatch(/Ada|example\.org|Main St/)
  })
})

describe('a key whose first request died half-way', () => {
  const leftBehind = async (scope: string, key: string) => {
    await test.database.query(
      `update platform.idempotency_keys set reply = null, owner = gen_random_uuid(), renewed_at = now() - interval '1 hour'
       where scope = $1 and key = $2`,
      [scope, key],
    )
  }

  it('is taken over without placing the order twice', async () => {
    const sku = await aSku()
    const wanted = order([{ sku, quantity: 1 }])
    const key = randomUUID()
    const first = await send('POST', '/v1/orders', wanted, { 'idempotency-key': key })
    await leftBehind('POST /v1/orders', key)
    const head = await store.head()
    const again = await send('POST', '/v1/orders', wanted, { 'idempotency-key': key })
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(await store.head()).toBe(head)
  })

  it('is taken over without receiving the stock twice, however much happened since', async () => {
    const sku = await aSku()
    const path = `/v1/products/${sku}/stock`
    const key = randomUUID()
    await send('POST', path, { receive: 5 }, { 'idempotency-key': key })
    for (let n = 0; n < 5; n += 1) await send('POST', path, { receive: 1 })
    await leftBehind(`POST ${path}`, key)
    const again = await send('POST', path, { receive: 5 }, { 'idempotency-key': key })
    expect(again).toMatchObject({ status: 200, body: { onHand: 10 } })
  })

  it('is not taken over while its process works on it', async () => {
    const keys = createIdempotencyKeys({ database: test.database, logger })
    const key = randomUUID()
    const request = { scope: 'POST /v1/orders', key, bodyHash: 'ab' }
    expect(await keys.claim(request)).toMatchObject({ outcome: 'claimed', repeated: false })
    const other = createIdempotencyKeys({ database: test.database, logger })
    expect(await other.claim(request)).toEqual({ outcome: 'running' })
    await keys.release(request)
    expect(await other.claim(request)).toMatchObject({ outcome: 'claimed', repeated: true })
    keys.close()
    other.close()
  })
})

describe('forgetting a customer', () => {
  it('destroys the key, records the fact, and may be repeated', async () => {
    const sku = await aSku()
    const wanted = order([{ sku, quantity: 1 }])
    await send('POST', '/v1/orders', wanted)
    const path = `/v1/customers/${wanted.customer.id}/personal-data`
    expect(await send('DELETE', path)).toMatchObject({ status: 200, body: { status: 'forgotten', revision: '0' } })
    expect(await send('DELETE', path)).toMatchObject({ status: 200, body: { revision: '0' } })
    expect(await createPersonalDataVault(test.database).keysOf(wanted.customer.id)).toEqual([])
  })

  it('knows nothing of a customer who never ordered', async () => {
    const unknown = await send('DELETE', `/v1/customers/c-${randomUUID()}/personal-data`)
    expect(unknown).toMatchObject({ status: 404, body: { code: 'customer-not-found' } })
  })
})
