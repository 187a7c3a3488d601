import { randomInt, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder } from '../support/shop-client.ts'

const orders = 200
const tokens = ['tok_approve', 'tok_approve', 'tok_decline', 'tok_timeout_charged', 'tok_fail_2', 'tok_late']

let home: PlatformHome
beforeAll(async () => {
  home = await openHome()
})
afterAll(() => home.close())

test('killed three times with 200 orders in flight, the platform brings each to its end, and nothing is doubled', async () => {
  let platform = await home.start()
  const shop = createShopClient(home.url)
  await shop.stock('plenty', 10_000)
  await shop.stock('scarce', 30)

  const answers = Promise.all(
    Array.from({ length: orders }, (_, index) => {
      const skus = index % 3 === 0 ? ['plenty', 'scarce'] : ['plenty']
      const lines = skus.map((sku) => ({ sku, quantity: 1 + (index % 2) }))
      const request = placeOrder(lines, {
        customerId: `customer-${index % 20}`,
        paymentToken: `${tokens[index % tokens.length]}`,
      })
      return shop.write('POST', '/v1/orders', request, randomUUID())
    }),
  )
  answers.catch(() => undefined)

  // Some 3,000 events are to come: each of these moments is in the middle of it.
  const head = async () =>
    Number((await home.query<{ head: string }>('select max(position) as head from log.events'))[0]?.head)
  let moment = await head()
  for (const [more, together] of [
    [randomInt(10, 300), false],
    [randomInt(50, 500), true],
    [randomInt(50, 700), false],
  ] as const) {
    moment += more
    await eventually(head, (position) => position >= moment, { what: `the log at ${moment}` })
    // As when the power fails: its PostgreSQL at the same time.
    const server = together ? await home.postmaster() : undefined
    if (server) process.kill(server.pid, 'SIGKILL')
    await platform.kill('SIGKILL')
    platform = await home.start()
    moment = await head()
  }

  const answered = await answers
  expect(answered.filter(({ status }) => status !== 201).map(({ body }) => body)).toEqual([])
  const acknowledged: string[] = answered.map(({ body }) => body.orderId)
  expect(new Set(acknowledged).size).toBe(orders)

  const ends = await bringToEnd(shop, home.query, acknowledged)
  expect((ends.completed ?? 0) + (ends.cancelled ?? 0)).toBe(orders)
  expect(ends.completed).toBeGreaterThan(0)
  expect(ends.cancelled).toBeGreaterThan(0)

  const count = async (text: string) => Number((await home.query<{ count: string }>(text))[0]?.count)
  expect(await count(`select count(*) from log.events where type like 'order.placed.%'`)).toBe(orders)
  expect(await count(`select count(*) from log.events where type like 'fulfilment.started.%'`)).toBe(orders)
  expect(
    await count(
      `select count(*) from (select from gateway.authorisations where status in ('approved', 'captured')
         group by order_id having count(*) > 1) doubled`,
    ),
  ).toBe(0)
  expect(
    await count(
      `select count(*) from (select from log.events where type like 'inventory.reserved.%'
         group by stream, data ->> 'orderId' having count(*) > 1) doubled`,
    ),
  ).toBe(0)
  expect(await count(`select count(*) from gateway.authorisations where status = 'captured'`)).toBe(ends.completed)
  expect(await count(`select count(*) from gateway.authorisations where status = 'approved'`)).toBe(0)

  const { report, differences } = await auditOf({ DATABASE_URL: await home.databaseUrl() }, acknowledged)
  expect(differences).toEqual([])
  expect(report).toEqual(cleanReport)
  expect(await platform.kill('SIGTERM')).toBe(0)
}, 600_000)
