import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveFollower } from '../support/live-follower.ts'
import { nginx, openProxy, type ReverseProxy } from '../support/nginx.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome, queryOnce } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

interface LiveEvent {
  readonly id: string
  readonly data: { readonly orderId: string }
}

const roles = ['write-side', 'projections', 'sagas', 'read-api'] as const

describe.skipIf(!nginx)(`roles apart behind one address${nginx ? '' : ' (left out: nginx is not installed)'}`, () => {
  let database: TestDatabase
  let home: PlatformHome
  let proxy: ReverseProxy
  const instances = new Map<string, PlatformProcess[]>()
  const query = <Row>(text: string, values?: readonly unknown[]) => queryOnce<Row>(database.url, text, values)

  beforeAll(async () => {
    database = await openTestDatabase({ migrated: false, max: 1 })
    home = await openHome()
    const environment = {
      ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' },
      ...{ ORDERLOG_LOG_LEVEL: 'info', ORDERLOG_TRUSTED_PROXIES: '127.0.0.1' },
    }
    await Promise.all(
      roles.map(async (role) =>
        instances.set(role, await Promise.all([1, 2].map(() => home.start([role], environment)))),
      ),
    )
    const urls = (role: string) => (instances.get(role) ?? []).map(({ url }) => url)
    proxy = await openProxy({ write_side: urls('write-side'), read_api: urls('read-api'), sagas: urls('sagas') })
  })
  afterAll(async () => {
    await proxy?.close()
    await home?.close()
    await database?.drop()
  })

  test('each request finds the role that answers it', async () => {
    const shop = createShopClient(proxy.url)
    await shop.stock('mug', 10)
    const placed = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))
    expect(placed.status).toBe(201)
    const headers = { 'Consistency-Token': placed.headers.get('consistency-token') ?? '' }
    const path = `${placed.headers.get('location')}?waitMs=10000`
    expect((await send(proxy.url, 'GET', path, undefined, headers)).status).toBe(200)
    const operator = { operator: 'ada', reason: 'to see' }
    const retried = await send(proxy.url, 'POST', `/v1/sagas/${placed.body.orderId}/retry`, operator)
    expect(retried.body.code).toBe('saga-not-parked')
    const unparked = await send(proxy.url, 'POST', '/v1/parked-events/stock_levels/inventory-mug/retry', operator)
    expect(unparked.status).toBe(404)
    expect((await send(proxy.url, 'GET', '/v1/no-such-thing')).body.code).toBe('route-not-found')
    await becomesReady(proxy.url)
  })

  test('an instance of each role is killed under load: nothing acknowledged is lost, nothing is doubled, sockets resume', async () => {
    const shop = createShopClient(proxy.url)
    await shop.stock('cup', 10_000)
    const followers = await Promise.all(
      [1, 2, 3, 4].map(() => openLiveFollower(`${proxy.url.replace('http', 'ws')}/v1/live`)),
    )
    const orders = 200
    let answered = 0
    const placing = Promise.all(
      Array.from({ length: 8 }, async (_, shopper) => {
        const ids: string[] = []
        for (let index = 0; index < orders / 8; index += 1) {
          const request = placeOrder([{ sku: 'cup', quantity: 1 }], {
            customerId: `shopper-${shopper}`,
            paymentToken: index % 5 === 0 ? 'tok_decline' : 'tok_approve',
          })
          const { status, body } = await shop.write('POST', '/v1/orders', request, randomUUID())
          expect(status, JSON.stringify(body)).toBe(201)
          expect((await send(proxy.url, 'GET', '/v1/orders?limit=1')).status).toBe(200)
          ids.push(body.orderId)
          answered += 1
        }
        return ids
      }),
    )
    placing.catch(() => undefined)
    await eventually(
      async () => answered,
      (count) => count >= orders / 4,
      { what: 'a quarter of the orders' },
    )
    await Promise.all(roles.map((role) => instances.get(role)?.[0]?.kill('SIGKILL')))
    const acknowledged = (await placing).flat()
    expect(new Set(acknowledged).size).toBe(orders)

    const declined = orders / 5
    expect(await bringToEnd(shop, query, acknowledged)).toEqual({ cancelled: declined, completed: orders - declined })
    const [placed] = await query(`select count(*)::int as orders from log.events where type like 'order.placed.%'
      and position > (select max(position) from log.events where stream = 'product-cup')`)
    expect(placed).toEqual({ orders })

    // Placed, then cancelled, or confirmed and shipped.
    const expected = orders + declined + 2 * (orders - declined)
    const known = new Set(acknowledged)
    for (const follower of followers) {
      const events = await eventually(
        async () => follower.events.filter(({ event }) => known.has((event as LiveEvent).data.orderId)),
        (all) => all.length >= expected,
        { what: `${expected} events on the live feed` },
      )
      const ids = events.map(({ event }) => (event as LiveEvent).id)
      expect(new Set(ids).size).toBe(expected)
      expect(ids.length).toBe(expected)
    }
    expect(followers.reduce((sum, follower) => sum + follower.connections(), 0)).toBeGreaterThan(followers.length)
    await Promise.all(followers.map((follower) => follower.close()))

    const { report, differences } = await auditOf({ DATABASE_URL: database.url }, acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  }, 300_000)
})
