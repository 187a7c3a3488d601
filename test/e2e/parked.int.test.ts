import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { silentLogger } from '../../platform/logging.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import { eventually } from '../support/eventually.ts'
import { newEvent } from '../support/new-event.ts'
import { type Finished, finished, type PlatformProcess, ready, spawnCli } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { send } from '../support/shop-client.ts'

let database: TestDatabase
let platform: PlatformProcess
const at = '2026-03-01T09:00:00.000Z'
const orderId = randomUUID()
const stream = 'inventory-lamp'
const place = ['stock_levels', stream, '1']
const who = ['--operator', 'ada', '--reason', 'counted by hand']

/** `orderlog parked`, as an operator runs it. */
const parked = (...args: string[]): Promise<Finished> =>
  finished(spawnCli(['parked', ...args], { ORDERLOG_PORT: new URL(platform.url).port }))

beforeAll(async () => {
  database = await openTestDatabase()
  const store = openPostgresEventStore({ database: database.database, logger: silentLogger })
  const received = (quantity: number) => newEvent({ sku: 'lamp', quantity, receivedAt: at }, 'inventory.received.v1')
  // More than there is: no decider would let it pass, and the read model refuses it.
  const reserved = newEvent({ sku: 'lamp', orderId, quantity: 9, reservedAt: at }, 'inventory.reserved.v1')
  await store.append(stream, [received(5), reserved, received(2)], 'none')
  const other = newEvent({ sku: 'desk', orderId, quantity: 1, reservedAt: at }, 'inventory.reserved.v1')
  await store.append('inventory-desk', [other], 'none')
  await store.close()
  platform = await ready(
    spawnCli(['start', 'projections', 'read-api'], {
      ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' },
      ORDERLOG_MAX_PARKED_STREAMS: '2',
    }),
  )
  await eventually(
    async () => (await send(platform.url, 'GET', '/v1/parked-events?projection=stock_levels')).body.parkedEvents,
    (events) => events.length === 3,
  )
})
afterAll(async () => {
  await platform?.kill('SIGTERM')
  await database?.drop()
})

test('a parked event is found, looked at, edited and retried from the command line', async () => {
  const list = await parked('list', '--projection', 'stock_levels')
  expect(list.stdout).toMatch(/stock_levels .*inventory-lamp .*1 .*inventory.reserved.v1 .*failed .*3 .*stock_check/)
  expect(list.stdout).toMatch(/inventory-lamp .*2 .*inventory.received.v1 .*behind/)
  const show = await parked('show', ...place)
  expect(show.stdout).toMatch(/status +failed\nattempts +3\n/)
  expect(show.stdout).toMatch(/SQLSTATE +23514\n/)
  expect(JSON.parse((await parked('show', ...place, '--json')).stdout)).toMatchObject({
    event: { data: { quantity: 9 } },
    stack: expect.stringContaining('stock_check'),
  })
  expect(await parked('retry', 'stock_levels', stream, ...who)).toMatchObject({
    code: 1,
    stdout: '0 applied, 2 still parked.\n',
  })
  const data = (quantity: number) => JSON.stringify({ sku: 'lamp', orderId, quantity, reservedAt: at })
  const edit = await parked('edit', ...place, '--data', data(3), ...who)
  expect(edit).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/edit 1 .*by ada: counted by hand\n.*"quantity":3/),
  })
  const retried = await parked('retry', 'stock_levels', stream, ...who)
  expect(retried).toMatchObject({ code: 0, stdout: '2 applied, 0 still parked.\n' })
  expect((await send(platform.url, 'GET', '/v1/stock/lamp')).body).toMatchObject({ onHandUnits: 7, reservedUnits: 3 })
  const edited = await parked('list', '--status', 'edited')
  expect(edited.stdout).toMatch(/inventory-lamp .*edited .*ada: counted by hand/)
})

test('a parked event is discarded from the command line, and the gap is listed and counted', async () => {
  const discarded = await parked('discard', 'stock_levels', 'inventory-desk', '0', ...who)
  expect(discarded).toMatchObject({ code: 0, stdout: expect.stringMatching(/status +discarded\n[\s\S]*Nothing else/) })
  const gaps = await parked('list', '--status', 'discarded')
  expect(gaps.stdout).toMatch(/inventory-desk .*discarded .*ada: counted by hand/)
  expect((await parked('list')).stdout).toBe('There are none.\n')
  await eventually(
    async () => (await fetch(`${platform.url}/metrics`)).text(),
    (text) =>
      text.includes('orderlog_event_gaps{projection="stock_levels"} 1') &&
      text.includes('orderlog_parked_events{projection="stock_levels"} 0'),
  )
})

test('what cannot be done is said in one sentence with its code, and exits with 1', async () => {
  const gone = await parked('discard', 'stock_levels', 'inventory-desk', '0', ...who)
  const refusal = 'stock_levels: There is no such parked event. (parked-event-not-found)'
  expect(gone).toMatchObject({ code: 1, stderr: `orderlog: ${refusal}\n` })
  const told = await parked('show', 'stock_levels', 'inventory-none', '7', '--json')
  expect(told.code).toBe(1)
  expect(JSON.parse(told.stdout)).toMatchObject({ problem: { code: 'parked-event-not-found', status: 404 } })
  expect((await parked('edit', ...place, '--data', '{"half', ...who)).stderr).toMatch(/^orderlog: --data is no JSON/)
  expect((await parked('retry', 'stock_levels', stream)).stderr).toContain("required option '--reason <text>'")
  expect((await parked('list', '--status', 'lost')).stderr).toMatch(/orderlog: .*\(invalid-request\)/)
  const nobody = await finished(spawnCli(['parked', 'list'], { ORDERLOG_PORT: '1' }))
  expect(nobody).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('No Orderlog answers on http://127.0.0.1:1'),
  })
})
