import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { silentLogger } from '../../platform/logging.ts'
import { createPersonalDataVault } from '../../platform/personal-data.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import { auditOf, cleanReport } from '../support/audit.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { newEvent } from '../support/new-event.ts'
import { finished, type PlatformProcess, ready, spawnCli } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, type ShopClient, send } from '../support/shop-client.ts'

let database: TestDatabase
let restored: TestDatabase
let platform: PlatformProcess
let shop: ShopClient
let directory: string
const [fulfilled, cancelled] = [randomUUID(), randomUUID()]
const at = '2026-03-01T09:00:00.000Z'
const person = { name: 'Ada Lovelace', email: 'ada@example.org' }
const address = { street: '1 Analytical Way', city: 'London', postalCode: 'N1', country: 'GB' }

const environment = (url: string) => ({
  ...{ DATABASE_URL: url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '12' },
  ...{ ORDERLOG_RESERVATION_DEADLINE_MS: '600000', ORDERLOG_AUTHORISATION_DEADLINE_MS: '600000' },
})

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'orderlog-upcasting-'))
  ;[database, restored] = await Promise.all([openTestDatabase(), openTestDatabase()])
  // What the first version wrote: no currency beside an amount, no name of what was bought.
  const store = openPostgresEventStore({ database: database.database, logger: silentLogger })
  const vault = createPersonalDataVault(database.database)
  const product = { sku: 'mug', name: 'Mug', description: 'For tea', brand: 'Acme', category: 'Things' }
  const price = { amount: 500, currency: 'EUR' }
  await store.append(
    'product-mug',
    [newEvent({ ...product, price, registeredAt: at }, 'product.registered.v1')],
    'none',
  )
  await store.append(
    'inventory-mug',
    [newEvent({ sku: 'mug', quantity: 9, receivedAt: at }, 'inventory.received.v1')],
    'none',
  )
  for (const orderId of [fulfilled, cancelled]) {
    const order = {
      ...{ orderId, customerId: 'ada', currency: 'EUR', total: 1_000, paymentToken: 'tok_approve', placedAt: at },
      lines: [{ sku: 'mug', quantity: 2, unitPrice: 500 }],
      personal: await vault.seal('ada', { ...person, address }),
    }
    await store.append(`order-${orderId}`, [newEvent(order, 'order.placed.v1')], 'none')
  }
  await store.close()
  platform = await ready(spawnCli(['start'], environment(database.url)))
  shop = createShopClient(platform.url)
})
afterAll(async () => {
  await platform?.kill('SIGTERM')
  await database?.drop()
  await restored?.drop()
  await rm(directory, { recursive: true, force: true })
})

const today = [{ sku: 'mug', name: 'mug', quantity: 2, unitPrice: { amount: 500, currency: 'EUR' } }]
const total = { amount: 1_000, currency: 'EUR' }
const asOrdered = { customer: { id: 'ada', ...person }, shippingAddress: address, lines: today, total, placedAt: at }

test('the saga fulfils and the aggregate goes on from what v1 placed', async () => {
  for (const orderId of [fulfilled, cancelled]) await shop.orderIn(orderId, 'confirmed')
  expect((await shop.write('POST', `/v1/orders/${fulfilled}/ship`, { carrier: 'DHL', trackingId: 'T-1' })).status).toBe(
    200,
  )
  expect((await shop.write('POST', `/v1/orders/${cancelled}/cancel`, {})).status).toBe(200)
  for (const [orderId, status] of [
    [fulfilled, 'completed'],
    [cancelled, 'cancelled'],
  ] as const)
    await eventually(
      () => shop.get(`/v1/sagas/${orderId}`),
      ({ body }) => body?.saga?.status === status,
      { what: `the fulfilment of ${orderId}` },
    )
})

test('every read model shows it in the form of today', async () => {
  const head = await eventually(
    async () => (await shop.get('/v1/projections')).body,
    ({ projections }) =>
      projections.every(({ partitions }: { partitions: { lagEvents: string }[] }) =>
        partitions.every(({ lagEvents }) => lagEvents === '0'),
      ),
  )
  expect(head.projections.every(({ parkedEventCount }: { parkedEventCount: number }) => parkedEventCount === 0)).toBe(
    true,
  )
  expect((await shop.get(`/v1/orders/${fulfilled}`)).body).toMatchObject({ ...asOrdered, status: 'shipped' })
  expect((await shop.get(`/v1/orders/${fulfilled}?asOf=0`)).body).toMatchObject({ ...asOrdered, status: 'placed' })
  expect((await shop.get('/v1/customers/ada/orders')).body.orders).toHaveLength(2)
  const { entries } = (await shop.get(`/v1/orders/${fulfilled}/timeline`)).body
  expect(entries[0]).toMatchObject({ type: 'OrderPlaced', data: { lines: today, total } })
  expect((await shop.get('/v1/stock/mug')).body).toMatchObject({ onHandUnits: 7, reservedUnits: 0 })
  expect((await shop.get(`/v1/payments/${fulfilled}`)).body).toMatchObject({ status: 'captured' })
  expect((await shop.get('/v1/search/orders?q=lovelace')).body.hits).toHaveLength(2)
  expect((await shop.get('/v1/leaderboards/products?by=units&window=all')).body.places).toMatchObject([
    { key: 'mug', units: 2 },
  ])
})

test('the live feed shows it, in a snapshot and as an event', async () => {
  const live = await openLiveClient(`${platform.url.replace('http', 'ws')}/v1/live`)
  live.send({ type: 'subscribe', id: 'now', channel: 'order', orderId: fulfilled })
  live.send({ type: 'subscribe', id: 'past', channel: 'order', orderId: fulfilled, after: '-1' })
  expect(await live.first(({ type }) => type === 'snapshot')).toMatchObject({ order: { lines: today, total } })
  const [placed] = await live.events('past', 1)
  expect(placed).toMatchObject({ event: { type: 'OrderPlaced', readable: true, data: { lines: today, total } } })
  await live.close()
})

test('the audit folds it, and export and import carry it as it was written', async () => {
  const { report, differences } = await auditOf({ DATABASE_URL: database.url }, [fulfilled, cancelled])
  expect([differences, report]).toEqual([[], cleanReport])
  const exported = await finished(spawnCli(['export'], environment(database.url)))
  expect(exported.stdout.match(/order\.placed\.v1/g)).toHaveLength(2)
  const file = join(directory, 'events.ndjson')
  await writeFile(file, exported.stdout)
  const imported = await finished(spawnCli(['import', file], environment(restored.url)))
  expect([imported.code, imported.stderr]).toEqual([0, expect.any(String)])
  const again = await ready(spawnCli(['start'], environment(restored.url)))
  try {
    const { body } = await createShopClient(again.url).orderIn(fulfilled, 'shipped')
    expect(body).toMatchObject({ lines: today, total, status: 'shipped' })
    expect((await send(again.url, 'GET', '/v1/parked-events')).body.parkedEvents).toEqual([])
  } finally {
    await again.kill('SIGTERM')
  }
})
