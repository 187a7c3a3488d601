import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { makeNewerCode } from '../support/newer-code.ts'
import { queryOnce } from '../support/platform-home.ts'
import { type PlatformProcess, ready, spawnCli } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

let database: TestDatabase
let newerCode: Awaited<ReturnType<typeof makeNewerCode>>
const processes: PlatformProcess[] = []

beforeAll(async () => {
  database = await openTestDatabase({ migrated: false, max: 1 })
  newerCode = await makeNewerCode()
})
afterAll(async () => {
  await Promise.all(processes.map((process) => process.kill('SIGKILL')))
  await newerCode?.remove()
  await database?.drop()
})

const start = async (code: 'old' | 'new', ...roles: string[]): Promise<PlatformProcess> => {
  const environment = {
    ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' },
    ...{ ORDERLOG_LOG_LEVEL: 'info', ORDERLOG_RESERVATION_DEADLINE_MS: '600000' },
  }
  const options = code === 'new' ? { cli: newerCode.cli } : {}
  const process = await ready(spawnCli(['start', ...roles], environment, options))
  processes.push(process)
  return process
}
const query = <Row>(text: string) => queryOnce<Row>(database.url, text)
const checksOf = async ({ url }: PlatformProcess) => (await send(url, 'GET', '/health/ready')).body.checks
const metricsOf = async ({ url }: PlatformProcess) => (await fetch(`${url}/metrics`)).text()
const fulfilled = ({ url }: PlatformProcess, orderId: string) =>
  eventually(
    () => send(url, 'GET', `/v1/sagas/${orderId}`),
    ({ body }) => body?.saga?.status === 'completed',
    { what: `the fulfilment of ${orderId}` },
  )

test('two versions on one log: the old one waits at what only the new one can read, and nothing is parked', async () => {
  const old = await start('old')
  const shop = createShopClient(old.url)
  await shop.stock('mug', 100)
  const place = async (): Promise<string> => {
    const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))
    await shop.orderIn(body.orderId, 'confirmed')
    return body.orderId
  }
  const [first, second] = [await place(), await place()]

  // The deploy begins: a new write side beside everything old.
  const writing = await start('new', 'write-side')
  const shipment = { carrier: 'DHL', trackingId: 'T-1' }
  const shipped = await send(writing.url, 'POST', `/v1/orders/${first}/ship`, shipment)
  expect(shipped.status).toBe(200)
  expect(await query("select type from log.events where type like 'order.shipped%'")).toEqual([
    { type: 'order.shipped.v2' },
  ])
  const checks = await eventually(
    () => checksOf(old),
    ({ projections, sagas }) => !projections.ok && !sagas.ok && /order_search is waiting/.test(projections.detail),
  )
  const why = /event \d+ \(order-.*@2\) is a "order.shipped.v2", a newer version than this code knows/
  expect(checks.projections.detail).toMatch(why)
  expect(checks.sagas.detail).toMatch(why)
  expect(await metricsOf(old)).toContain(
    'orderlog_projection_waiting{projection="order_details",reason="newer-event"} 1',
  )
  expect(await metricsOf(old)).toContain('orderlog_saga_waiting{reason="newer-event"} 1')
  expect(old.log.join('\n')).toMatch(/the saga waits for newer code/)
  // What the old one would have to fold, it refuses; what it has, it shows.
  expect(await send(old.url, 'POST', `/v1/orders/${first}/deliver`, {})).toMatchObject({
    status: 503,
    body: { code: 'newer-event' },
  })
  expect((await send(old.url, 'GET', `/v1/orders/${first}?asOf=2`)).body.code).toBe('newer-event')
  expect((await send(old.url, 'GET', `/v1/orders/${first}`)).body.status).toBe('confirmed')
  const live = await openLiveClient(`${old.url.replace('http', 'ws')}/v1/live`)
  live.send({ type: 'subscribe', id: 'a', channel: 'order', orderId: first, after: '0' })
  live.send({ type: 'subscribe', id: 'b', channel: 'orders', after: '0' })
  for (const id of ['a', 'b'])
    expect(await live.first((message) => message.type === 'error' && message.id === id)).toMatchObject({
      code: 'newer-event',
    })
  await live.close()

  // The new version takes over what waits, beside the old one.
  const young = await start('new')
  const newShop = createShopClient(young.url)
  await newShop.orderIn(first, 'shipped')
  await fulfilled(young, first)
  // The old one goes on with what it can read.
  expect((await send(old.url, 'POST', `/v1/orders/${second}/ship`, shipment)).status).toBe(200)
  await fulfilled(young, second)
  await eventually(
    () => checksOf(old),
    ({ projections, sagas }) => projections.ok && sagas.ok,
  )
  expect(await metricsOf(old)).toContain(
    'orderlog_projection_waiting{projection="order_details",reason="newer-event"} 0',
  )

  // The old one goes, and comes back as the new one.
  expect(await old.kill('SIGTERM')).toBe(0)
  const last = await start('new')
  const delivered = await send(last.url, 'POST', `/v1/orders/${first}/deliver`, {})
  expect(delivered.status).toBe(200)
  await newShop.orderIn(first, 'delivered')
  await newShop.orderIn(second, 'shipped')
  expect((await send(last.url, 'GET', `/v1/orders/${second}?asOf=2`)).body).toMatchObject({ status: 'shipped' })
  expect(await query('select count(*)::integer as events from platform.parked_events')).toEqual([{ events: 0 }])
  expect(await query("select count(*)::integer as orders from saga.instances where status <> 'completed'")).toEqual([
    { orders: 0 },
  ])
  expect(
    await query(
      "select type, count(*)::integer from log.events where type like 'order.shipped%' group by 1 order by 1",
    ),
  ).toEqual([
    { type: 'order.shipped.v1', count: 1 },
    { type: 'order.shipped.v2', count: 1 },
  ])
})
