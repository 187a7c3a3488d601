import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Answer } from '../support/ask.ts'
import { auditOf, cleanReport } from '../support/audit.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

let home: PlatformHome
beforeAll(async () => {
  home = await openHome()
})
afterAll(() => home.close())

test('PostgreSQL killed under load comes back by itself: readiness tells the truth, and nothing is half-done', async () => {
  const platform = await home.start()
  const answers: Answer[] = []
  const shop = createShopClient(home.url, (answer) => answers.push(answer))
  await shop.stock('mug', 100_000)

  const acknowledged: string[] = []
  let closing = false
  const buyer = async (name: number): Promise<void> => {
    for (let turn = 0; !closing; turn += 1) {
      const token = (['tok_approve', 'tok_decline', 'tok_timeout_charged'] as const)[turn % 3]
      const request = placeOrder([{ sku: 'mug', quantity: 1 }], {
        customerId: `buyer-${name}`,
        paymentToken: `${token}`,
      })
      const { status, body } = await shop.write('POST', '/v1/orders', request)
      expect(status, JSON.stringify(body)).toBe(201)
      acknowledged.push(body.orderId)
    }
  }
  const buyers = Promise.all(Array.from({ length: 16 }, (_, name) => buyer(name)))
  buyers.catch(() => undefined)

  const readiness = () => send(home.url, 'GET', '/health/ready')
  // Without it no server starts, so that it is down for as long as it takes to see that.
  const needed = join(home.directory, 'postgres', 'cluster', 'data', 'postgresql.conf')
  for (const orders of [50, 120]) {
    await eventually(
      async () => acknowledged.length,
      (count) => count >= orders,
      { what: `${orders} orders taken` },
    )
    const server = await home.postmaster()
    if (!server) throw new Error('the embedded PostgreSQL does not run')
    const answered = answers.length
    await rename(needed, `${needed}.away`)
    process.kill(server.pid, 'SIGKILL')
    const notReady = await eventually(readiness, ({ status }) => status === 503, { what: 'not ready' })
    expect(notReady.body).toMatchObject({ status: 'not-ready' })
    expect((await send(home.url, 'GET', '/health/live')).status).toBe(200)
    const told = await home.run(['status'])
    expect(told).toMatchObject({ code: 1, stderr: '' })
    expect(told.stdout).toMatch(/postgresql +│ NO/)
    expect(told.stdout).toContain('Where the consumers stand: ')
    await eventually(
      async () => answers.slice(answered),
      (later) => later.some(({ status }) => status === 503),
      { what: 'a buyer who is told' },
    )
    await rename(`${needed}.away`, needed)
    await eventually(readiness, ({ status }) => status === 200, { what: 'ready again' })
    expect((await home.postmaster())?.pid).not.toBe(server.pid)
  }
  closing = true
  await buyers

  const failures = answers.filter(({ status }) => status >= 500)
  expect(failures.filter(({ status }) => status !== 503).map(({ body }) => body)).toEqual([])
  for (const { headers, body } of failures) {
    expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    expect(headers.get('retry-after')).toMatch(/^\d+$/)
    expect(body.code).toBe('engine-unavailable')
  }

  await bringToEnd(shop, home.query, acknowledged)
  const [placed] = await home.query(`select count(*)::int as orders from log.events where type like 'order.placed.%'`)
  expect(placed).toEqual({ orders: acknowledged.length })
  const { report, differences } = await auditOf({ DATABASE_URL: await home.databaseUrl() }, acknowledged)
  expect(differences).toEqual([])
  expect(report).toEqual(cleanReport)
  expect(await platform.kill('SIGTERM')).toBe(0)
}, 600_000)
