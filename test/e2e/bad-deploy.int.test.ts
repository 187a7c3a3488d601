import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProjectionView } from '../../schemas/views.ts'
import { eventually } from '../support/eventually.ts'
import { makeOtherCode } from '../support/newer-code.ts'
import { type Finished, finished, type PlatformProcess, ready, spawnCli } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

/** The walk of docs/operations.md, "A bad deploy": a release that counts lines where it should count units. */
let database: TestDatabase
let badRelease: Awaited<ReturnType<typeof makeOtherCode>>
let platform: PlatformProcess

beforeAll(async () => {
  database = await openTestDatabase({ migrated: false, max: 1 })
  badRelease = await makeOtherCode([
    ['projections/order-details.js', /version: 1,/, 'version: 2,'],
    [
      'projections/order-row.js',
      /data\.lines\.reduce\(\(units, line\) => units \+ line\.quantity, 0\)/,
      'data.lines.length',
    ],
  ])
})
afterAll(async () => {
  await platform?.kill('SIGKILL')
  await badRelease?.remove()
  await database?.drop()
})

const deploy = async (release?: { readonly cli: string }): Promise<void> => {
  if (platform) expect(await platform.kill('SIGTERM')).toBe(0)
  const environment = {
    ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' },
    ...{ ORDERLOG_LOG_LEVEL: 'info', ORDERLOG_RESERVATION_DEADLINE_MS: '600000', ORDERLOG_REBUILD_STALE: 'false' },
  }
  platform = await ready(spawnCli(['start'], environment, release))
}
const orderlog = (...args: string[]): Promise<Finished> =>
  finished(spawnCli(args, { ORDERLOG_PORT: new URL(platform.url).port }))
const place = async (quantity: number): Promise<string> => {
  const shop = createShopClient(platform.url)
  const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity }]))
  return body.orderId
}
const details = async () => (await send(platform.url, 'GET', '/v1/projections/order_details')).body as ProjectionView
/** As the order list shows them; undefined where it does not show the order. */
const unitsOf = async (orderId: string): Promise<number | undefined> => {
  const { body } = await send(platform.url, 'GET', '/v1/orders?limit=200')
  return body.orders.find((order: { orderId: string }) => order.orderId === orderId)?.units
}

test('a release with a wrong projection: refused by its rebuild, forced, noticed, swapped back, replaced and dropped', async () => {
  await deploy()
  const shop = createShopClient(platform.url)
  await shop.stock('mug', 1_000)
  const orders: string[] = []
  for (const quantity of [1, 2, 3, 12]) orders.push(await place(quantity))
  for (const orderId of orders) await shop.orderIn(orderId, 'confirmed')
  const [some = ''] = orders.slice(-1)

  // The release that is wrong serves what is there, applies nothing to it, and says why.
  await deploy(badRelease)
  await eventually(details, ({ state }) => state === 'stopped', { what: 'the projection to stand still' })
  expect((await orderlog('projections')).stdout).toContain(
    'order_details is stale: built by version 1, code is 2. "orderlog rebuild order_details" builds it anew.',
  )
  expect(await unitsOf(some)).toBe(12)

  // Its rebuild is compared with the log, and not swapped in.
  const refused = await orderlog('rebuild', 'order_details')
  expect(refused.code).toBe(1)
  expect(refused.stdout).toMatch(
    /^order_details: generation 2 has failed while verifying: the new generation differs from the log: 3 differences; the first is \S+ units differs\. It stands where it was/m,
  )
  expect(await unitsOf(some)).toBe(12)
  expect(await orderlog('projections', 'drop', 'order_details', '2')).toMatchObject({ code: 0 })

  // Swapped in without being verified, it is wrong for everybody.
  expect(await orderlog('rebuild', 'order_details', '--sample', '0')).toMatchObject({ code: 0 })
  expect(await unitsOf(some)).toBe(1)
  const verified = await orderlog('verify', 'order_details')
  expect(verified.code).toBe(1)
  expect(verified.stdout).toMatch(new RegExp(`order_details ${some}: units should be 12, is 1; since position \\d+`))
  expect(verified.stdout).toContain('Not equal to the log: order_details.')
  const missed = await place(3)

  // One step back: right again, and standing still until the code of its version runs.
  const back = await orderlog('projections', 'swap-back', 'order_details', '--reason', 'it counts lines')
  expect(back.code).toBe(0)
  expect(back.stdout).toMatch(/^order_details: generation 1 is live, .* after it was asked for\.$/m)
  expect(back.stdout).toMatch(
    /^order_details is stale: built by version 1, code is 2, whose generation 3 was swapped back: put the former release back\./m,
  )
  expect(await unitsOf(some)).toBe(12)
  expect(await unitsOf(missed)).toBeUndefined()

  await deploy()
  await createShopClient(platform.url).orderIn(missed, 'confirmed')
  expect(await unitsOf(missed)).toBe(3)
  const generations = await orderlog('projections', 'generations', 'order_details')
  expect(generations.stdout).toMatch(/^order_details: version of the code 1\n/)
  expect(generations.stdout).toMatch(/│ 1 +│ 1 +│ live /)
  expect(generations.stdout).toMatch(/│ 3 +│ 2 +│ kept /)
  expect(await orderlog('verify', 'order_details')).toMatchObject({ code: 0 })
  expect(await orderlog('projections', 'drop', 'order_details', '3')).toMatchObject({ code: 0 })
  expect((await details()).generations).toMatchObject([{ generation: 1, version: 1, state: 'live' }])
})
