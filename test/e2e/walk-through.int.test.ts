import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../support/ask.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, product, type ShopClient } from '../support/shop-client.ts'

describe('one order, from the shelf to the refund', () => {
  let home: PlatformHome
  let shop: ShopClient
  let placed: Answer
  let orderId: string

  const tokenOf = (write: Answer) => ({ 'Consistency-Token': write.headers.get('consistency-token') ?? '' })
  const codeOf = ({ status, body }: Answer) => [status, body.code]
  /** One read model may be there before another. */
  const caughtUp = () =>
    eventually(
      async () => (await shop.get('/v1/projections')).body.projections,
      (all: { partitions: { lagEvents: string }[] }[]) =>
        all.every(({ partitions }) => partitions[0]?.lagEvents === '0'),
    )

  beforeAll(async () => {
    home = await openHome()
    await home.start()
    shop = createShopClient(home.url)
  })
  afterAll(() => home.close())

  test('a product is registered, repriced and stocked', async () => {
    const registered = await shop.write('POST', '/v1/products', product('mug', 1_000, 'Blue mug'))
    expect(registered).toMatchObject({ status: 201, body: { sku: 'mug', name: 'Blue mug', revision: '0' } })
    expect(registered.headers.get('location')).toBe('/v1/products/mug')
    expect(registered.headers.get('etag')).toBe('"0"')
    const repriced = await shop.write('PUT', '/v1/products/mug/price', { price: { amount: 1_250, currency: 'EUR' } })
    expect(repriced).toMatchObject({ status: 200, body: { price: { amount: 1_250 }, revision: '1' } })
    const stocked = await shop.write('POST', '/v1/products/mug/stock', { receive: 10 })
    expect(stocked).toMatchObject({ status: 200, body: { onHand: 10, reserved: 0, available: 10 } })
    expect((await shop.get('/v1/products/mug?waitMs=10000', tokenOf(stocked))).body).toMatchObject({
      ...{ name: 'Blue mug', price: { amount: 1_250, currency: 'EUR' } },
      stock: { onHandUnits: 10, reservedUnits: 0, availableUnits: 10 },
    })
  })

  test('an order whose expected total is not the price of now is refused', async () => {
    const request = { ...placeOrder([{ sku: 'mug', quantity: 3 }]), expectedTotal: { amount: 3_000, currency: 'EUR' } }
    const refused = await shop.write('POST', '/v1/orders', request)
    expect(codeOf(refused)).toEqual([409, 'price-changed'])
    expect(refused.body).toMatchObject({ total: { amount: 3_750, currency: 'EUR' } })
  })

  test('an order is placed and can be read at once with its token', async () => {
    const request = { ...placeOrder([{ sku: 'mug', quantity: 3 }]), expectedTotal: { amount: 3_750, currency: 'EUR' } }
    placed = await shop.write('POST', '/v1/orders', request)
    orderId = placed.body.orderId
    expect(placed).toMatchObject({ status: 201, body: { status: 'placed', total: { amount: 3_750, currency: 'EUR' } } })
    expect(placed.headers.get('location')).toBe(`/v1/orders/${orderId}`)
    expect(placed.headers.get('etag')).toBe('"0"')
    expect(placed.headers.get('x-correlation-id')).toMatch(/^[0-9a-f-]{36}$/)

    const read = await shop.get(`${placed.headers.get('location')}?waitMs=10000`, tokenOf(placed))
    expect(read.status).toBe(200)
    expect(read.headers.get('consistency')).toBe('current')
    expect(read.body).toMatchObject({
      orderId,
      customer: { id: 'ada', name: 'Ada Lovelace', email: 'ada@example.com' },
      shippingAddress: { street: '1 Analytical Way', city: 'London' },
      lines: [{ sku: 'mug', name: 'Blue mug', quantity: 3, unitPrice: { amount: 1_250, currency: 'EUR' } }],
    })
  })

  test('the saga reserves, authorises and confirms by itself', async () => {
    const { body } = await shop.orderIn(orderId, 'confirmed')
    expect(body.confirmedAt).not.toBeNull()
    const stock = await eventually(
      () => shop.get('/v1/stock/mug'),
      (answer) => answer.body.reservedUnits === 3,
    )
    expect(stock.body).toMatchObject({ onHandUnits: 10, reservedUnits: 3, availableUnits: 7 })
    const payment = await eventually(
      () => shop.get(`/v1/payments/${orderId}`),
      (answer) => answer.body.status === 'authorised',
    )
    expect(payment.body).toMatchObject({ authorised: { amount: 3_750, currency: 'EUR' }, captured: { amount: 0 } })
    const saga = await eventually(
      () => shop.get(`/v1/sagas/${orderId}`),
      (answer) => answer.body.saga?.waitingFor === 'shipment',
    )
    expect(saga.body.saga).toMatchObject({ status: 'waiting', parkedStep: null })
  })

  test('a stale entity tag is refused and a fresh one accepted; a delivery comes after the shipment', async () => {
    expect(codeOf(await shop.write('POST', `/v1/orders/${orderId}/deliver`))).toEqual([409, 'order-not-deliverable'])
    const parcel = { carrier: 'DHL', trackingId: 'JD014600003' }
    const ship = (tag: string) =>
      fetch(`${home.url}/v1/orders/${orderId}/ship`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'If-Match': tag },
        body: JSON.stringify(parcel),
      })
    const stale = await ship('"0"')
    expect([stale.status, ((await stale.json()) as { code: string }).code]).toEqual([412, 'precondition-failed'])
    const { headers } = await shop.get(`/v1/orders/${orderId}`)
    expect((await ship(headers.get('etag') ?? '')).status).toBe(200)
    expect((await shop.write('POST', `/v1/orders/${orderId}/deliver`)).body).toMatchObject({ status: 'delivered' })
    expect(codeOf(await shop.write('POST', `/v1/orders/${orderId}/cancel`))).toEqual([409, 'order-not-cancellable'])
  })

  test('shipping captures the money and takes the units off the shelf, and the saga completes', async () => {
    await eventually(
      () => shop.get(`/v1/sagas/${orderId}`),
      (answer) => answer.body.saga?.status === 'completed',
    )
    const payment = await eventually(
      () => shop.get(`/v1/payments/${orderId}`),
      (answer) => answer.body.status === 'captured',
    )
    expect(payment.body.captured).toEqual({ amount: 3_750, currency: 'EUR' })
    const stock = await eventually(
      () => shop.get('/v1/stock/mug'),
      (answer) => answer.body.onHandUnits === 7,
    )
    expect(stock.body).toMatchObject({ reservedUnits: 0, availableUnits: 7 })
    const listed = await shop.get('/v1/sagas?status=completed')
    expect(listed.body.sagas.map((saga: { orderId: string }) => saga.orderId)).toEqual([orderId])
  })

  test('a part is refunded, and never more than was captured', async () => {
    const refund = (amount: number, currency = 'EUR') =>
      shop.write('POST', `/v1/orders/${orderId}/refunds`, {
        amount: { amount, currency },
        reason: 'a chip in the glaze',
      })
    const first = await refund(1_250)
    expect(first).toMatchObject({
      status: 201,
      body: { status: 'refunded', captured: { amount: 3_750 }, refunded: { amount: 1_250 } },
    })
    expect(codeOf(await refund(2_501))).toEqual([422, 'refund-exceeds-captured'])
    expect(codeOf(await refund(1, 'USD'))).toEqual([422, 'currency-mismatch'])
    const payment = await shop.get(`/v1/payments/${orderId}?waitMs=10000`, tokenOf(first))
    expect(payment.body).toMatchObject({ status: 'partially_refunded', refunded: { amount: 1_250, currency: 'EUR' } })
    expect(payment.body.refunds).toHaveLength(1)
  })

  test('the timeline tells everything in order, each event with the command and the event that caused it', async () => {
    await caughtUp()
    const { body } = await shop.get(`/v1/orders/${orderId}/timeline?limit=200`)
    type Entry = { position: string; type: string; eventId: string; causes: Record<string, string> }
    const entries: Entry[] = body.entries
    const types = entries.map((entry) => entry.type)
    const story = ['OrderPlaced', 'FulfilmentStarted', 'StockReserved', 'PaymentAuthorised', 'OrderConfirmed']
    const end = ['OrderShipped', 'PaymentCaptured', 'StockCommitted', 'FulfilmentEnded', 'PaymentRefunded']
    for (const type of [...story, ...end]) expect(types).toContain(type)
    expect(story.map((type) => types.indexOf(type))).toEqual(
      story.map((type) => types.indexOf(type)).sort((a, b) => a - b),
    )
    const positions = entries.map((entry) => BigInt(entry.position))
    expect(positions).toEqual([...positions].sort((a, b) => (a < b ? -1 : 1)))

    const correlationId = placed.headers.get('x-correlation-id')
    const early = entries.slice(0, types.indexOf('OrderConfirmed') + 1)
    expect(new Set(early.map((entry) => entry.causes.correlationId))).toEqual(new Set([correlationId]))
    const [orderPlaced, started] = ['OrderPlaced', 'FulfilmentStarted'].map((type) => entries[types.indexOf(type)])
    expect(orderPlaced?.causes.actor).toBe('customer:ada')
    expect(started?.causes.causationId).toBe(orderPlaced?.eventId)
    expect(JSON.stringify(body)).not.toMatch(/tok_approve|ciphertext|Lovelace/)
  })

  test('the order can be read as it was at a revision and at a time', async () => {
    const { entries } = (await shop.get(`/v1/orders/${orderId}/timeline`)).body
    const shipped = entries.find((entry: { type: string }) => entry.type === 'OrderShipped')
    const asOf = async (when: string) => (await shop.get(`/v1/orders/${orderId}?asOf=${when}`)).body
    expect(await asOf('0')).toMatchObject({ status: 'placed', revision: '0', customer: { name: 'Ada Lovelace' } })
    expect(await asOf('1')).toMatchObject({ status: 'confirmed', shippedAt: null })
    expect(await asOf(shipped.recordedAt)).toMatchObject({ status: 'shipped', deliveredAt: null })
    expect((await asOf('99')).code).toBe('in-the-future')
  })

  test('stock and leaderboards can be read as they were before the order, and as they are', async () => {
    await caughtUp()
    const { entries } = (await shop.get(`/v1/orders/${orderId}/timeline`)).body
    const placed = entries.find((entry: { type: string }) => entry.type === 'OrderPlaced')
    const before = new Date(Date.parse(placed.recordedAt) - 1).toISOString()
    const sku = entries.find((entry: { type: string }) => entry.type === 'StockReserved').data.sku
    for (const path of [`/v1/stock/${sku}?`, '/v1/leaderboards/products?by=units&', '/v1/leaderboards/customers?']) {
      const now = (await shop.get(path)).body
      expect((await shop.get(`${path}asOf=${new Date().toISOString()}`)).body).toEqual(now)
      expect((await shop.get(`${path}asOf=${before}`)).body).not.toEqual(now)
    }
  })

  test('lists, leaderboards, sales, catalogue and search all know of it', async () => {
    await caughtUp()
    const { confirmedAt } = (await shop.get(`/v1/orders/${orderId}`)).body
    const day = new Date(confirmedAt).toISOString().slice(0, 10)
    const get = async (path: string) => (await shop.get(path)).body
    expect((await get('/v1/orders?status=delivered')).orders).toMatchObject([{ orderId, units: 3 }])
    expect((await get('/v1/customers/ada/orders')).orders).toMatchObject([{ orderId }])
    for (const window of ['hour', 'day', 'all'])
      expect(await get(`/v1/leaderboards/products?by=units&window=${window}&at=${confirmedAt}`)).toMatchObject({
        places: [{ rank: 1, key: 'mug', name: 'Blue mug', units: 3 }],
      })
    expect(await get('/v1/leaderboards/customers?by=revenue')).toMatchObject({
      places: [{ rank: 1, key: 'ada', revenue: { amount: 3_750, currency: 'EUR' } }],
    })
    expect((await get(`/v1/sales?by=day&from=${day}&to=${day}`)).days).toMatchObject([
      { day, orderCount: 1, units: 3, revenue: { amount: 3_750 }, refundCount: 1, refunded: { amount: 1_250 } },
    ])
    expect(await get('/v1/products?brand=Acme')).toMatchObject({
      products: [{ sku: 'mug' }],
      facets: { brands: [{ value: 'Acme', productCount: 1 }] },
    })
    expect((await get('/v1/search/products?q=blue%20mugs')).hits[0]).toMatchObject({ product: { sku: 'mug' } })
    expect((await get('/v1/search/orders?q=lovelace')).hits[0]).toMatchObject({ order: { orderId } })
    expect((await get('/v1/search/orders?q=JD014600003')).hits[0]).toMatchObject({ order: { orderId } })
  })

  test('the live feed sends a snapshot, then every event once; whoever comes back gets what was missed', async () => {
    const address = `${home.url.replace('http', 'ws')}/v1/live`
    const first = await openLiveClient(address)
    const second = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))
    const { orderId: watched } = second.body
    first.send({ type: 'subscribe', id: 'mine', channel: 'order', orderId: watched })
    first.send({ type: 'subscribe', id: 'board', channel: 'leaderboard', board: 'products', by: 'units' })
    const snapshot = await first.first((message) => message.type === 'snapshot' && message.id === 'mine')
    expect(snapshot).toMatchObject({ channel: 'order', order: { orderId: watched } })
    await first.first((message) => message.id === 'board' && JSON.stringify(message).includes('"units":4'))
    await shop.orderIn(watched, 'confirmed')
    await shop.write('POST', `/v1/orders/${watched}/ship`, { carrier: 'UPS', trackingId: '1Z' })
    await first.first((message) => message.type === 'event' && message.revision === '2')
    await first.close()

    await shop.write('POST', `/v1/orders/${watched}/deliver`)
    const again = await openLiveClient(address)
    again.send({ type: 'subscribe', id: 'mine', channel: 'order', orderId: watched, after: '-1' })
    const events = await again.events('mine', 4)
    expect(events.map((message) => message.revision)).toEqual(['0', '1', '2', '3'])
    expect(events.map((message) => (message.event as { type: string }).type)).toEqual([
      ...['OrderPlaced', 'OrderConfirmed', 'OrderShipped', 'OrderDelivered'],
    ])
    await again.close()
  })

  test('an order that its customer cancels gives back money and stock', async () => {
    const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 2 }]))
    await shop.orderIn(body.orderId, 'confirmed')
    expect((await shop.write('POST', `/v1/orders/${body.orderId}/cancel`)).status).toBe(200)
    await eventually(
      () => shop.get(`/v1/sagas/${body.orderId}`),
      (answer) => answer.body.saga?.status === 'cancelled',
    )
    await eventually(
      () => shop.get(`/v1/payments/${body.orderId}`),
      (answer) => answer.body.status === 'voided',
    )
    await eventually(
      () => shop.get('/v1/stock/mug'),
      (answer) => answer.body.onHandUnits === 6 && answer.body.reservedUnits === 0,
    )
    const cancelled = await shop.orderIn(body.orderId, 'cancelled')
    expect(cancelled.body).toMatchObject({ status: 'cancelled', cancelReason: 'customer_request' })
  })

  test('health, metrics and the positions of the projections can be asked', async () => {
    expect((await shop.get('/health/live')).body).toEqual({ status: 'alive' })
    await becomesReady(home.url)
    expect(await (await fetch(`${home.url}/metrics`)).text()).toMatch(/^# TYPE /m)
    await caughtUp()
    const { projections } = (await shop.get('/v1/projections')).body
    expect(projections.map((projection: { name: string }) => projection.name)).toContain('order_details')
    await eventually(
      () => home.run(['status', '--json']),
      ({ code }) => code === 0,
    )
  })
})
