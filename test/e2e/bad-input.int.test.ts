import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ErrorCode, errors } from '../../schemas/errors.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, type Method, placeOrder, product, send } from '../support/shop-client.ts'

/** `{order}` in a path is an order that is confirmed; `{shipped}` one whose payment is captured. */
type Wrong = readonly [
  what: string,
  code: ErrorCode,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
]

const nobody = '3f333df6-90a4-4fda-8dd3-9485d27cee36'
const order = placeOrder([{ sku: 'mug', quantity: 1 }], { customerId: 'stranger' })
const lines = (...of: unknown[]) => ({ ...order, lines: of })
const person = (change: object) => ({ ...order, customer: { ...order.customer, ...change } })
const address = (change: object) => ({ ...order, shippingAddress: { ...order.shippingAddress, ...change } })
const without = (name: keyof typeof order) => Object.fromEntries(Object.entries(order).filter(([key]) => key !== name))
const plate = product('plate', 500)
const json = JSON.stringify
const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
const parcel = { carrier: 'DHL', trackingId: 'T1' }
const eur = (amount: number) => ({ amount, currency: 'EUR' })
const cursorOf = (value: unknown) => Buffer.from(json(value)).toString('base64url')

const orders: readonly Wrong[] = [
  ['no body', 'malformed-json', 'POST', '/v1/orders', ''],
  ['half a JSON', 'malformed-json', 'POST', '/v1/orders', json(order).slice(0, -1)],
  ['two JSONs', 'malformed-json', 'POST', '/v1/orders', `${json(order)}${json(order)}`],
  ['a JSON with a comment', 'malformed-json', 'POST', '/v1/orders', `${json(order)} // please`],
  ['NaN', 'malformed-json', 'POST', '/v1/orders', json(order).replace('"quantity":1', '"quantity":NaN')],
  ['a list', 'invalid-request', 'POST', '/v1/orders', [order]],
  ['null', 'invalid-request', 'POST', '/v1/orders', 'null'],
  ['a text', 'invalid-request', 'POST', '/v1/orders', '"order"'],
  ['twenty thousand brackets', 'invalid-request', 'POST', '/v1/orders', deep],
  ['one megabyte', 'body-too-large', 'POST', '/v1/orders', json({ ...order, note: 'x'.repeat(1_000_000) })],
  ['one megabyte of nothing', 'body-too-large', 'POST', '/v1/orders', ' '.repeat(1_000_000)],
  ['a __proto__', 'malformed-json', 'POST', '/v1/orders', json(order).replace('{', '{"__proto__":{"admin":true},')],
  [
    ...['a constructor.prototype', 'malformed-json', 'POST', '/v1/orders'],
    json(order).replace('{', '{"constructor":{"prototype":{"admin":true}},'),
  ] as unknown as Wrong,
  ['XML', 'unsupported-media-type', 'POST', '/v1/orders', '<order/>', { 'Content-Type': 'application/xml' }],
  [
    ...['a form', 'unsupported-media-type', 'POST', '/v1/orders', 'sku=mug'],
    { 'Content-Type': 'application/x-www-form-urlencoded' },
  ] as unknown as Wrong,
  ['an unknown member', 'invalid-request', 'POST', '/v1/orders', { ...order, discount: 100 }],
  ['a price from the client', 'invalid-request', 'POST', '/v1/orders', lines({ sku: 'mug', quantity: 1, price: 1 })],
  ['a total from the client', 'invalid-request', 'POST', '/v1/orders', { ...order, total: eur(1) }],
  ['an order id from the client', 'invalid-request', 'POST', '/v1/orders', { ...order, orderId: nobody }],
  ['no lines', 'invalid-request', 'POST', '/v1/orders', lines()],
  ['no member lines', 'invalid-request', 'POST', '/v1/orders', without('lines')],
  ['no customer', 'invalid-request', 'POST', '/v1/orders', without('customer')],
  ['no payment token', 'invalid-request', 'POST', '/v1/orders', without('paymentToken')],
  ['no address', 'invalid-request', 'POST', '/v1/orders', without('shippingAddress')],
  ['101 lines', 'invalid-request', 'POST', '/v1/orders', lines(...Array(101).fill({ sku: 'mug', quantity: 1 }))],
  ['lines as an object', 'invalid-request', 'POST', '/v1/orders', { ...order, lines: { sku: 'mug', quantity: 1 } }],
  ...[0, -1, 1.5, 10_001, 1e308, '1', null, true, [1]].map(
    (quantity): Wrong => [
      `a quantity of ${json(quantity)}`,
      'invalid-request',
      'POST',
      '/v1/orders',
      lines({ sku: 'mug', quantity }),
    ],
  ),
  [
    ...['a quantity that no double holds', 'invalid-request', 'POST', '/v1/orders'],
    json(order).replace('"quantity":1', `"quantity":${'9'.repeat(400)}`),
  ] as unknown as Wrong,
  [
    ...['a huge quantity in many lines of one product', 'invalid-request', 'POST', '/v1/orders'],
    lines(...Array(100).fill({ sku: 'mug', quantity: 10_000 })),
  ] as unknown as Wrong,
  ['an unknown SKU', 'unknown-product', 'POST', '/v1/orders', lines({ sku: 'nothing', quantity: 1 })],
  ...['', '../etc', 'a b', 'mug\u0000', `m${'u'.repeat(64)}g`, 'müg', '__proto__', '-mug'].map(
    (sku): Wrong => [`the SKU ${json(sku)}`, 'invalid-request', 'POST', '/v1/orders', lines({ sku, quantity: 1 })],
  ),
  ['the SKU constructor', 'unknown-product', 'POST', '/v1/orders', lines({ sku: 'constructor', quantity: 1 })],
  [
    ...['mixed currencies', 'mixed-currencies', 'POST', '/v1/orders'],
    lines({ sku: 'mug', quantity: 1 }, { sku: 'bowl', quantity: 1 }),
  ] as unknown as Wrong,
  ['another total than expected', 'price-changed', 'POST', '/v1/orders', { ...order, expectedTotal: eur(999) }],
  [
    ...['an expected total in another currency', 'price-changed', 'POST', '/v1/orders'],
    { ...order, expectedTotal: { amount: 1_000, currency: 'USD' } },
  ] as unknown as Wrong,
  ['an expected fraction', 'invalid-request', 'POST', '/v1/orders', { ...order, expectedTotal: eur(1_000.5) }],
  [
    ...['a currency that is none', 'invalid-request', 'POST', '/v1/orders'],
    { ...order, expectedTotal: { amount: 1_000, currency: 'XYZ' } },
  ] as unknown as Wrong,
  ['an empty name', 'invalid-request', 'POST', '/v1/orders', person({ name: '' })],
  ['a name with U+0000', 'invalid-request', 'POST', '/v1/orders', person({ name: 'Ada\u0000' })],
  ['a name with an escape', 'invalid-request', 'POST', '/v1/orders', person({ name: '\u001b[31mAda' })],
  [
    ...['a name with half a surrogate pair', 'invalid-request', 'POST', '/v1/orders'],
    json(order).replace('Ada Lovelace', '\\ud83d'),
  ] as unknown as Wrong,
  ['a name of 201 characters', 'invalid-request', 'POST', '/v1/orders', person({ name: 'a'.repeat(201) })],
  ['a name that is a number', 'invalid-request', 'POST', '/v1/orders', person({ name: 7 })],
  ['an e-mail without @', 'invalid-request', 'POST', '/v1/orders', person({ email: 'ada.example.com' })],
  ['a customer id with a space', 'invalid-request', 'POST', '/v1/orders', person({ id: 'ada lovelace' })],
  ['a country in words', 'invalid-request', 'POST', '/v1/orders', address({ country: 'England' })],
  ['a street with a bell', 'invalid-request', 'POST', '/v1/orders', address({ street: '1 Way\u0007' })],
  ['a planet', 'invalid-request', 'POST', '/v1/orders', address({ planet: 'Mars' })],
  ['a payment token with a space', 'invalid-request', 'POST', '/v1/orders', { ...order, paymentToken: 'tok approve' }],
  [
    'a payment token without an end',
    'invalid-request',
    'POST',
    '/v1/orders',
    { ...order, paymentToken: 't'.repeat(129) },
  ],
  ['an empty key', 'invalid-idempotency-key', 'POST', '/v1/orders', order, { 'Idempotency-Key': '' }],
  [
    'a key of 256 characters',
    'invalid-idempotency-key',
    'POST',
    '/v1/orders',
    order,
    { 'Idempotency-Key': 'k'.repeat(256) },
  ],
  [
    'a key with an umlaut',
    'invalid-idempotency-key',
    'POST',
    '/v1/orders',
    order,
    { 'Idempotency-Key': 'schl\u00fcssel' },
  ],
]

const ship = '/v1/orders/{order}/ship'
const orderActions: readonly Wrong[] = [
  ['an id that is none', 'invalid-request', 'POST', '/v1/orders/42/cancel', {}],
  ['nobody’s order', 'order-not-found', 'POST', `/v1/orders/${nobody}/cancel`, {}],
  ['nobody’s order to ship', 'order-not-found', 'POST', `/v1/orders/${nobody}/ship`, parcel],
  [
    'nobody’s payment to refund',
    'payment-not-found',
    'POST',
    `/v1/orders/${nobody}/refunds`,
    { amount: eur(1), reason: 'r' },
  ],
  ['a reason for cancelling that is none', 'invalid-request', 'POST', '/v1/orders/{order}/cancel', { reason: 'bored' }],
  ['a reason only we may give', 'invalid-request', 'POST', '/v1/orders/{order}/cancel', { reason: 'out_of_stock' }],
  ['no carrier', 'invalid-request', 'POST', ship, { trackingId: 'T1' }],
  ['no tracking id', 'invalid-request', 'POST', ship, { carrier: 'DHL' }],
  ['a shipping address', 'invalid-request', 'POST', ship, { ...parcel, address: '1 Way' }],
  ['a weak entity tag', 'invalid-precondition', 'POST', ship, parcel, { 'If-Match': 'W/"0"' }],
  ['a bare number for an entity tag', 'invalid-precondition', 'POST', ship, parcel, { 'If-Match': '1' }],
  ['a negative revision', 'invalid-precondition', 'POST', ship, parcel, { 'If-Match': '"-1"' }],
  ['a revision without an end', 'invalid-precondition', 'POST', ship, parcel, { 'If-Match': `"${'9'.repeat(40)}"` }],
  ['two entity tags', 'invalid-precondition', 'POST', ship, parcel, { 'If-Match': '"0", "1"' }],
  ['an entity tag of the past', 'precondition-failed', 'POST', ship, parcel, { 'If-Match': '"0"' }],
  ['an entity tag of the future', 'precondition-failed', 'POST', ship, parcel, { 'If-Match': '"99"' }],
  ['a delivery before the shipment', 'order-not-deliverable', 'POST', '/v1/orders/{order}/deliver', {}],
  ['something with a delivery', 'invalid-request', 'POST', '/v1/orders/{order}/deliver', { to: 'the neighbour' }],
  [
    'a refund before the capture',
    'payment-not-captured',
    'POST',
    '/v1/orders/{order}/refunds',
    { amount: eur(1), reason: 'r' },
  ],
  [
    'a refund of too much',
    'refund-exceeds-captured',
    'POST',
    '/v1/orders/{shipped}/refunds',
    { amount: eur(1_001), reason: 'r' },
  ],
  ['a refund of nothing', 'invalid-request', 'POST', '/v1/orders/{shipped}/refunds', { amount: eur(0), reason: 'r' }],
  ['a negative refund', 'invalid-request', 'POST', '/v1/orders/{shipped}/refunds', { amount: eur(-5), reason: 'r' }],
  [
    'a refund of a fraction',
    'invalid-request',
    'POST',
    '/v1/orders/{shipped}/refunds',
    { amount: eur(0.5), reason: 'r' },
  ],
  ['a refund without a reason', 'invalid-request', 'POST', '/v1/orders/{shipped}/refunds', { amount: eur(1) }],
  [
    ...['a refund in another currency', 'currency-mismatch', 'POST', '/v1/orders/{shipped}/refunds'],
    { amount: { amount: 1, currency: 'USD' }, reason: 'r' },
  ] as unknown as Wrong,
  ['a cancellation after the shipment', 'order-not-cancellable', 'POST', '/v1/orders/{shipped}/cancel', {}],
  ['a second shipment by another carrier', 'order-not-shippable', 'POST', '/v1/orders/{shipped}/ship', parcel],
  ['a saga that is not parked', 'saga-not-parked', 'POST', '/v1/sagas/{order}/retry', { operator: 'o', reason: 'r' }],
  ['nobody’s saga', 'saga-not-found', 'POST', `/v1/sagas/${nobody}/skip`, { operator: 'o', reason: 'r' }],
  ['an operator without a reason', 'invalid-request', 'POST', '/v1/sagas/{order}/retry', { operator: 'o' }],
  [
    ...['a parked event that is none', 'parked-event-not-found', 'POST', '/v1/parked-events/sales/order-1/retry'],
    { operator: 'o', reason: 'r' },
  ] as unknown as Wrong,
  ['a customer who is nobody', 'customer-not-found', 'DELETE', '/v1/customers/nobody/personal-data'],
  ['a customer id that is none', 'invalid-request', 'DELETE', '/v1/customers/a%20b/personal-data'],
]

const shelf = '/v1/products/mug/stock'
const products: readonly Wrong[] = [
  [
    'another product under a known SKU',
    'product-already-registered',
    'POST',
    '/v1/products',
    product('mug', 5, 'Other'),
  ],
  ['a free product', 'invalid-request', 'POST', '/v1/products', { ...plate, price: eur(0) }],
  ['a negative price', 'invalid-request', 'POST', '/v1/products', { ...plate, price: eur(-1) }],
  ['a price in fractions', 'invalid-request', 'POST', '/v1/products', { ...plate, price: eur(9.99) }],
  ['a price as text', 'invalid-request', 'POST', '/v1/products', { ...plate, price: { amount: '9', currency: 'EUR' } }],
  ['a price above every bound', 'invalid-request', 'POST', '/v1/products', { ...plate, price: eur(1_000_000_001) }],
  [
    'a currency in lower case',
    'invalid-request',
    'POST',
    '/v1/products',
    { ...plate, price: { amount: 9, currency: 'eur' } },
  ],
  ['a name with U+0000', 'invalid-request', 'POST', '/v1/products', { ...plate, name: 'a\u0000b' }],
  [
    'a description beyond 2,000',
    'invalid-request',
    'POST',
    '/v1/products',
    { ...plate, description: 'd'.repeat(2_001) },
  ],
  ['a price for nothing', 'product-not-found', 'PUT', '/v1/products/nothing/price', { price: eur(5) }],
  ['stock of nothing', 'product-not-found', 'POST', '/v1/products/nothing/stock', { receive: 5 }],
  ['nothing received', 'invalid-request', 'POST', shelf, { receive: 0 }],
  ['a negative delivery', 'invalid-request', 'POST', shelf, { receive: -5 }],
  ['a delivery above every bound', 'invalid-request', 'POST', shelf, { receive: 1_000_000_001 }],
  ['an adjustment without a reason', 'invalid-request', 'POST', shelf, { adjust: -1 }],
  ['a delivery and an adjustment at once', 'invalid-request', 'POST', shelf, { receive: 1, adjust: 1, reason: 'r' }],
  ['an adjustment below what is reserved', 'stock-below-reserved', 'POST', shelf, { adjust: -1_000, reason: 'r' }],
]

const reads: readonly Wrong[] = [
  ['a route that is none', 'route-not-found', 'GET', '/v1/nothing'],
  ['a route outside', 'route-not-found', 'GET', '/../../etc/passwd'],
  ['a broken escape', 'route-not-found', 'GET', '/v1/orders/%E0%A4%A'],
  ['a route that is none, written to', 'route-not-found', 'POST', '/v1/nothing', {}],
  ['a method that is none here', 'method-not-allowed', 'DELETE', '/v1/orders'],
  ['another', 'method-not-allowed', 'PATCH', '/v1/orders/{order}', {}],
  ['the live feed without an upgrade', 'upgrade-required', 'GET', '/v1/live'],
  ['an id that is none', 'invalid-request', 'GET', '/v1/orders/42'],
  ['an id with U+0000', 'invalid-request', 'GET', `/v1/orders/${nobody}%00`],
  ['an id that is SQL', 'invalid-request', 'GET', "/v1/orders/'%20or%201=1--"],
  ['an id without an end', 'invalid-request', 'GET', `/v1/orders/${'a'.repeat(500)}`],
  ['nobody’s order', 'order-not-found', 'GET', `/v1/orders/${nobody}`],
  ['nobody’s timeline', 'order-not-found', 'GET', `/v1/orders/${nobody}/timeline`],
  ['nobody’s payment', 'payment-not-found', 'GET', `/v1/payments/${nobody}`],
  ['nobody’s saga', 'saga-not-found', 'GET', `/v1/sagas/${nobody}`],
  ['stock of nothing', 'stock-not-found', 'GET', '/v1/stock/nothing'],
  ['a product that is none', 'product-not-found', 'GET', '/v1/products/nothing'],
  ['orders of nobody', 'customer-not-found', 'GET', '/v1/customers/nobody/orders'],
  ['an unknown parameter', 'invalid-request', 'GET', '/v1/orders?color=blue'],
  ['a parameter twice', 'invalid-request', 'GET', '/v1/orders?limit=1&limit=2'],
  ['a status that is none', 'invalid-request', 'GET', '/v1/orders?status=lost'],
  ['an order of sorting that is none', 'invalid-request', 'GET', '/v1/orders?sort=name'],
  ['a time that is none', 'invalid-request', 'GET', '/v1/orders?placedFrom=yesterday'],
  ['a total without an end', 'invalid-request', 'GET', `/v1/orders?totalFrom=${'9'.repeat(40)}`],
  ...['0', '-1', '201', '1.5', 'many', ''].map(
    (limit): Wrong => [`a limit of ${json(limit)}`, 'invalid-request', 'GET', `/v1/orders?limit=${limit}`],
  ),
  ...[
    '0123',
    'zzzz',
    cursorOf([]),
    cursorOf(null),
    cursorOf({}),
    cursorOf(['x', '2026-01-01T00:00:00.000Z', nobody]),
  ].map((cursor): Wrong => [`the cursor ${cursor}`, 'invalid-cursor', 'GET', `/v1/orders?cursor=${cursor}`]),
  ['a cursor of strange characters', 'invalid-request', 'GET', '/v1/orders?cursor=%00'],
  ['a cursor of another list', 'invalid-cursor', 'GET', '/v1/sagas?cursor=W10'],
  ...['x', 'deadbeef-5', '-1', `00000000-${'9'.repeat(30)}`].map(
    (token): Wrong => [
      `the consistency token ${token}`,
      'invalid-consistency-token',
      'GET',
      '/v1/orders',
      undefined,
      { 'Consistency-Token': token },
    ],
  ),
  ['a wait without an end', 'invalid-request', 'GET', '/v1/orders?waitMs=99999999'],
  ['a revision that is none', 'invalid-request', 'GET', '/v1/orders/{order}?asOf=-1'],
  ['a revision of the future', 'in-the-future', 'GET', '/v1/orders/{order}?asOf=1000'],
  ['a time of the future', 'in-the-future', 'GET', '/v1/orders/{order}?asOf=2999-01-01T00:00:00.000Z'],
  ['a position of the future', 'in-the-future', 'GET', '/v1/orders/{order}?asOf=position:9223372036854775808'],
  ['stock of an unknown revision', 'stock-not-found', 'GET', '/v1/stock/nothing?asOf=7'],
  ['stock of a position that is none', 'invalid-request', 'GET', '/v1/stock/nothing?asOf=position:x'],
  ['a board of a revision', 'board-without-revisions', 'GET', '/v1/leaderboards/products?asOf=7'],
  ['a board of the future', 'in-the-future', 'GET', '/v1/leaderboards/customers?asOf=2999-01-01T00:00:00.000Z'],
  ['a day that is none', 'invalid-request', 'GET', '/v1/sales?from=2026-02-30'],
  ['days the wrong way round', 'invalid-request', 'GET', '/v1/sales?from=2026-02-02&to=2026-02-01'],
  ['too many days', 'invalid-request', 'GET', '/v1/sales?from=2020-01-01&to=2026-01-01'],
  ['a board that is none', 'route-not-found', 'GET', '/v1/leaderboards/dogs'],
  ['a window that is none', 'invalid-request', 'GET', '/v1/leaderboards/products?window=year'],
  ['a search for nothing', 'invalid-request', 'GET', '/v1/search/products?q='],
  ['a search without a question', 'invalid-request', 'GET', '/v1/search/orders'],
  ['a search for U+0000', 'invalid-request', 'GET', '/v1/search/orders?q=%00'],
  ['a search without an end', 'invalid-request', 'GET', `/v1/search/products?q=${'a'.repeat(201)}`],
]

const creation = { 'If-Match': '"7"' }
/** What was once let through, or answered as if it were our fault. */
const oddities: readonly Wrong[] = [
  ['an id that is a URN', 'invalid-request', 'GET', `/v1/orders/urn:uuid:${nobody}`],
  ['an id that is a URN, written to', 'invalid-request', 'POST', `/v1/orders/urn:uuid:${nobody}/cancel`, {}],
  ['a limit that is infinite', 'invalid-request', 'GET', '/v1/orders?limit=1e999'],
  ['a total that is infinite', 'invalid-request', 'GET', '/v1/orders?totalFrom=1e999'],
  ['plain text', 'unsupported-media-type', 'POST', '/v1/orders', 'one mug', { 'Content-Type': 'text/plain' }],
  ['an order only if it is as it was', 'precondition-failed', 'POST', '/v1/orders', order, creation],
  ['a product only if it is as it was', 'precondition-failed', 'POST', '/v1/products', product('cup', 5), creation],
  [
    'a text that is not UTF-8',
    'malformed-json',
    'POST',
    '/v1/products',
    Buffer.from(json(plate).replace('Acme', 'Acm\u00e9'), 'latin1'),
  ],
]

describe('requests that make no sense', () => {
  let home: PlatformHome
  let confirmed: string
  let shipped: string
  let before: unknown

  /** Everything that a request could have left behind. */
  const written = () =>
    home.query(
      `select (select count(*) from log.events) as events, (select max(position) from log.events) as head,
         (select count(*) from order_details.orders) as orders, (select count(*) from gateway.authorisations) as charges,
         (select count(*) from gateway.refunds) as refunds, (select count(*) from saga.instances) as sagas,
         (select count(*) from platform.parked_events) as parked`,
    )

  beforeAll(async () => {
    home = await openHome()
    await home.start()
    const shop = createShopClient(home.url)
    await shop.stock('mug', 100)
    await shop.write('POST', '/v1/products', { ...product('bowl', 700), price: { amount: 700, currency: 'USD' } })
    const place = async () => {
      const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))
      await shop.orderIn(body.orderId, 'confirmed')
      return body.orderId as string
    }
    confirmed = await place()
    shipped = await place()
    await shop.write('POST', `/v1/orders/${shipped}/ship`, { carrier: 'UPS', trackingId: '1Z' })
    for (const [orderId, status] of [
      [confirmed, 'waiting'],
      [shipped, 'completed'],
    ])
      await eventually(
        () => shop.get(`/v1/sagas/${orderId}`),
        ({ body }) => body.saga?.status === status,
      )
    before = await written()
  })
  afterAll(() => home.close())

  const sent = ([, , method, path, body, headers]: Wrong) =>
    send(home.url, method, path.replace('{order}', confirmed).replace('{shipped}', shipped), body, headers)

  const refused = async (wrong: Wrong): Promise<void> => {
    const [, code] = wrong
    const answer = await sent(wrong)
    expect(answer.body).toMatchObject({ code, status: errors[code].status, title: errors[code].title })
    expect(answer.status).toBe(errors[code].status)
    expect(answer.status).toBeLessThan(500)
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
  }

  describe.each([
    ['an order', orders],
    ['an order that exists', orderActions],
    ['the catalogue and the stock', products],
    ['a question', reads],
    ['an oddity', oddities],
  ] as const)('%s', (_, table) => {
    test.each(table)('%s: %s', async (...wrong) => refused(wrong as unknown as Wrong))
  })

  test('each problem has a row in the table of errors and says how to mend the request', async () => {
    const { body } = await send(home.url, 'POST', '/v1/orders', lines({ sku: 'mug', quantity: -1 }))
    expect(body).toMatchObject({
      type: '/docs/errors#invalid-request',
      problems: [{ path: '/lines/0/quantity', message: 'must be >= 1' }],
    })
  })

  test('a used key with another request is refused, and a refusal is repeated under its key', async () => {
    const key = randomUUID()
    const wrong = { ...order, expectedTotal: eur(1) }
    const first = await send(home.url, 'POST', '/v1/orders', wrong, { 'Idempotency-Key': key })
    const again = await send(home.url, 'POST', '/v1/orders', wrong, { 'Idempotency-Key': key })
    expect([first.status, again.status]).toEqual([409, 409])
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    const other = await send(home.url, 'POST', '/v1/orders', order, { 'Idempotency-Key': key })
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-key-reused'])
  })

  describe('on the live feed', () => {
    const subscribe = { type: 'subscribe', id: 's', channel: 'orders' }
    test.each<readonly [what: string, code: ErrorCode, message: unknown]>([
      ['no JSON', 'malformed-json', 'hello'],
      ['nothing', 'malformed-json', ''],
      ['a number', 'unknown-message', '42'],
      ['null', 'unknown-message', 'null'],
      ['a list', 'unknown-message', []],
      ['no type', 'unknown-message', {}],
      ['a type that is none', 'unknown-message', { type: 'shout', id: 's' }],
      ['a type that every object has', 'unknown-message', { type: 'toString', id: 's' }],
      ['a channel that is none', 'unknown-channel', { ...subscribe, channel: 'everything' }],
      ['a channel that every object has', 'unknown-channel', { ...subscribe, channel: 'constructor' }],
      ['a channel that is a list', 'unknown-channel', { ...subscribe, channel: ['orders'] }],
      ['no id', 'invalid-request', { type: 'subscribe', channel: 'orders' }],
      ['an id that is a number', 'invalid-request', { ...subscribe, id: 7 }],
      ['an id with U+0000', 'invalid-request', { ...subscribe, id: 's\u0000' }],
      ['an unknown member', 'invalid-request', { ...subscribe, please: true }],
      ['an order that is none', 'invalid-request', { ...subscribe, channel: 'order', orderId: '42' }],
      ['a cursor that is none', 'invalid-request', { ...subscribe, after: 'yesterday' }],
      ['a cursor that is a number', 'invalid-request', { ...subscribe, after: 5 }],
      ['a board that is none', 'invalid-request', { ...subscribe, channel: 'leaderboard', board: 'dogs' }],
      ['a customer that is none', 'invalid-request', { ...subscribe, channel: 'customer', customerId: 'a b' }],
      ['an end of nothing', 'not-subscribed', { type: 'unsubscribe', id: 's' }],
    ])('%s: %s', async (_, code, message) => {
      const client = await openLiveClient(`${home.url.replace('http', 'ws')}/v1/live`)
      client.send(message)
      const answer = await client.first(({ type }) => type === 'error')
      expect(answer).toMatchObject({ code, title: errors[code].title })
      // The connection is as good as before.
      client.send({ ...subscribe, id: 'good' })
      await client.first(({ type, id }) => type === 'snapshot' && id === 'good')
      await client.close()
    })

    test('a message of a megabyte ends the connection, and nobody else’s', async () => {
      const address = `${home.url.replace('http', 'ws')}/v1/live`
      const [rude, polite] = await Promise.all([openLiveClient(address), openLiveClient(address)])
      rude.send({ ...subscribe, id: 'x'.repeat(1_000_000) })
      expect((await rude.closed).code).toBe(1009)
      polite.send(subscribe)
      await polite.first(({ type }) => type === 'snapshot')
      await polite.close()
    })

    test('a WebSocket elsewhere is refused', async () => {
      await expect(openLiveClient(`${home.url.replace('http', 'ws')}/v1/nothing`)).rejects.toThrow(/404|hang up/)
    })
  })

  test('nothing of all this was written, and the platform is as well as before', async () => {
    expect(await written()).toEqual(before)
    await becomesReady(home.url)
    const { body } = await send(home.url, 'POST', '/v1/orders', order)
    expect(body).toMatchObject({ status: 'placed' })
  })
})
