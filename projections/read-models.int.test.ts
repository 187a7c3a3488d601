import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { ada, line, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { createConsistencyWaiter } from './consistency.ts'
import { postgresProjections } from './registry.ts'
import { storedStatuses } from './status.ts'

/** One scripted history, and what every read model must show of it. */
let rig: ProjectionRig
const vault = createTestVault()
const [adasKey, gracesKey, adasLaterKey] = [randomUUID(), randomUUID(), randomUUID()]
const forgottenAda = orderLife({
  customerId: 'ada',
  lines: [line('lamp', 2, 1_500), line('bulb', 10, 99)],
  personal: vault.seal(adasKey, ada),
})
const graces = orderLife({ customerId: 'grace', personal: vault.seal(gracesKey, { ...ada, name: 'Grace Hopper' }) })
const adasLater = orderLife({ customerId: 'ada', personal: vault.seal(adasLaterKey, ada), day: '2026-03-02' })
const refundId = randomUUID()
const payment = { orderId: forgottenAda.orderId, customerId: 'ada' }
const amount = { amount: 3_990, currency: 'EUR' }
const at = '2026-03-05T08:00:00.000Z'

const history: DomainEvent[] = [
  {
    type: 'ProductRegistered',
    data: {
      sku: 'lamp',
      name: 'Desk lamp',
      description: 'Bright',
      brand: 'Lumen',
      category: 'lighting',
      price: { amount: 1_400, currency: 'EUR' },
      registeredAt: '2026-02-01T00:00:00.000Z',
    },
  },
  {
    type: 'ProductRepriced',
    data: {
      sku: 'lamp',
      price: { amount: 1_500, currency: 'EUR' },
      previousPrice: { amount: 1_400, currency: 'EUR' },
      repricedAt: '2026-02-02T00:00:00.000Z',
    },
  },
  { type: 'StockReceived', data: { sku: 'lamp', quantity: 10, receivedAt: at } },
  { type: 'StockAdjusted', data: { sku: 'lamp', delta: -1, reason: 'broken', adjustedAt: at } },
  forgottenAda.placed,
  { type: 'StockReserved', data: { sku: 'lamp', orderId: forgottenAda.orderId, quantity: 2, reservedAt: at } },
  {
    type: 'AuthorisationRequested',
    data: { ...payment, amount, paymentToken: 'tok_approve', gatewayKey: 'secret-key', requestedAt: at },
  },
  { type: 'PaymentAuthorised', data: { ...payment, amount, gatewayReference: 'ref-1', authorisedAt: at } },
  forgottenAda.confirmed,
  graces.placed,
  graces.confirmed,
  graces.cancelled(true, '2026-03-04T00:00:00.000Z'),
  forgottenAda.shipped,
  { type: 'CaptureRequested', data: { ...payment, amount, gatewayKey: 'secret-key', requestedAt: at } },
  { type: 'PaymentCaptured', data: { ...payment, amount, capturedAt: at } },
  { type: 'StockCommitted', data: { sku: 'lamp', orderId: forgottenAda.orderId, quantity: 2, committedAt: at } },
  { type: 'PersonalDataForgotten', data: { customerId: 'ada', keyIds: [adasKey], forgottenAt: at } },
  forgottenAda.delivered,
  adasLater.placed,
  adasLater.cancelled(false),
  {
    type: 'RefundRequested',
    data: {
      ...payment,
      refundId,
      amount: { amount: 990, currency: 'EUR' },
      reason: 'dim bulbs',
      gatewayKey: 'secret-key',
      requestedAt: at,
    },
  },
  { type: 'PaymentRefunded', data: { ...payment, refundId, amount: { amount: 990, currency: 'EUR' }, refundedAt: at } },
]

beforeAll(async () => {
  rig = await openProjectionRig()
  const position = await append(rig.store, ...history)
  const consistency = createConsistencyWaiter({ database: rig.database, logger: silentLogger })
  const projections = postgresProjections({ database: rig.database, vault })
  for (const projection of projections) rig.start(projection, { onCheckpoint: consistency.report })
  const names = projections.map((projection) => projection.name)
  expect(await consistency.waitFor(names, position, 20_000)).toBe(true)
})
afterAll(() => rig.close())

test('order details show each order as it stands, and a person only as long as the key exists', async () => {
  const rows = await rig.rows(
    `select order_id, customer_id, status, currency, total_amount, units, lines, skus, placed_at, confirmed_at, shipped_at,
       delivered_at, cancelled_at, cancel_reason, carrier, tracking_id, name, email, address, revision
     from order_details.orders order by position`,
  )
  const none = {
    currency: 'EUR',
    confirmed_at: null,
    shipped_at: null,
    delivered_at: null,
    cancelled_at: null,
    cancel_reason: null,
    carrier: null,
    tracking_id: null,
    name: null,
    email: null,
    address: null,
  }
  expect(rows).toEqual([
    {
      ...none,
      order_id: graces.orderId,
      customer_id: 'grace',
      status: 'cancelled',
      total_amount: 3_000n,
      units: 2,
      lines: [line('lamp', 2, 1_500)],
      skus: ['lamp'],
      placed_at: '2026-03-01T09:00:00.000Z',
      confirmed_at: '2026-03-01T09:01:00.000Z',
      cancelled_at: '2026-03-04T00:00:00.000Z',
      cancel_reason: 'customer_request',
      name: 'Grace Hopper',
      email: ada.email,
      address: ada.address,
      revision: 2n,
    },
    {
      ...none,
      order_id: forgottenAda.orderId,
      customer_id: 'ada',
      status: 'delivered',
      total_amount: 3_990n,
      units: 12,
      lines: [line('lamp', 2, 1_500), line('bulb', 10, 99)],
      skus: ['lamp', 'bulb'],
      placed_at: '2026-03-01T09:00:00.000Z',
      confirmed_at: '2026-03-01T09:01:00.000Z',
      shipped_at: '2026-03-01T10:00:00.000Z',
      delivered_at: '2026-03-01T18:00:00.000Z',
      carrier: 'DHL',
      tracking_id: 'T-1',
      revision: 3n,
    },
    {
      ...none,
      order_id: adasLater.orderId,
      customer_id: 'ada',
      status: 'cancelled',
      total_amount: 3_000n,
      units: 2,
      lines: [line('lamp', 2, 1_500)],
      skus: ['lamp'],
      placed_at: '2026-03-02T09:00:00.000Z',
      cancelled_at: '2026-03-02T12:00:00.000Z',
      cancel_reason: 'customer_request',
      name: ada.name,
      email: ada.email,
      address: ada.address,
      revision: 1n,
    },
  ])
})

test('the eraser destroys the keys that were forgotten', async () => {
  const persons = await vault.open([vault.seal(adasKey, ada), vault.seal(gracesKey, ada)])
  expect(persons).toEqual([null, ada])
})

test('the timeline tells all that happened to an order, with its causes and without secrets', async () => {
  const rows = await rig.rows<{
    type: string
    position: bigint
    data: object
    customer_id: string
    command_id: string
  }>('select * from order_timeline.entries where order_id = $1 order by position', [forgottenAda.orderId])
  const events = (await rig.history()).filter(
    (event) => (event.data as { orderId?: string }).orderId === forgottenAda.orderId,
  )
  expect(rows.map((row) => [row.position, row.type])).toEqual(events.map((event) => [event.position, event.type]))
  expect(rows.map((row) => row.command_id)).toEqual(events.map((event) => event.metadata.commandId))
  expect(JSON.stringify(rows.map((row) => row.data))).not.toMatch(/tok_|secret-key|ref-1|personal|ciphertext/)
  expect(rows[0]).toMatchObject({ data: { total: amount, placedAt: '2026-03-01T09:00:00.000Z' } })
})

test('stock levels, payments, sales and the catalogue add up', async () => {
  expect(await rig.rows('select sku, on_hand, reserved, available, revision from stock_levels.stock')).toEqual([
    { sku: 'lamp', on_hand: 7n, reserved: 0n, available: 7n, revision: 3n },
  ])
  expect(
    await rig.rows(
      `select status, currency, requested_amount, authorised_amount, captured_amount, refunded_amount, refunds, revision
       from payments.payments`,
    ),
  ).toEqual([
    {
      status: 'partially_refunded',
      currency: 'EUR',
      requested_amount: 3_990n,
      authorised_amount: 3_990n,
      captured_amount: 3_990n,
      refunded_amount: 990n,
      refunds: [{ refundId, amount: 990, reason: 'dim bulbs', status: 'refunded', at }],
      revision: 5n,
    },
  ])
  const day = {
    currency: 'EUR',
    orders: 0n,
    units: 0n,
    revenue: 0n,
    cancelled_orders: 0n,
    cancelled_units: 0n,
    cancelled_revenue: 0n,
    refunds: 0n,
    refunded: 0n,
  }
  expect(
    await rig.rows(`select day::text, currency, orders, units, revenue, cancelled_orders, cancelled_units,
      cancelled_revenue, refunds, refunded from sales.days order by day`),
  ).toEqual([
    {
      ...day,
      day: '2026-03-01',
      orders: 2n,
      units: 14n,
      revenue: 6_990n,
      cancelled_orders: 1n,
      cancelled_units: 2n,
      cancelled_revenue: 3_000n,
    },
    { ...day, day: '2026-03-05', refunds: 1n, refunded: 990n },
  ])
  expect(await rig.rows('select sku, price_amount, brand, category, revision from catalogue.products')).toEqual([
    { sku: 'lamp', price_amount: 1_500n, brand: 'Lumen', category: 'lighting', revision: 1n },
  ])
})

test('another process reads from the database where every projection stands', async () => {
  const head = await rig.store.head()
  const statuses = await storedStatuses(rig.database)
  expect(statuses.map((status) => [status.name, status.position])).toEqual(
    ['catalogue', 'order_details', 'order_timeline', 'payments', 'personal_data_eraser', 'sales', 'stock_levels'].map(
      (name) => [name, head],
    ),
  )
})

test('waiting for a position that never comes ends, with the honest answer', async () => {
  const consistency = createConsistencyWaiter({ database: rig.database, logger: silentLogger })
  expect(await consistency.waitFor(['order_details'], 1_000_000n, 50)).toBe(false)
  expect(await consistency.waitFor(['order_details'], 1n, 5_000)).toBe(true)
  expect(await consistency.waitFor(['order_details'], 1n, 5_000, AbortSignal.abort())).toBe(false)
})
