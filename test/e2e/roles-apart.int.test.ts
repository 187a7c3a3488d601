import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome, queryOnce } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

describe('each role in processes of its own, on one PostgreSQL', () => {
  let database: TestDatabase
  let home: PlatformHome
  const processes: Record<string, PlatformProcess[]> = {}
  const query = <Row>(text: string, values?: readonly unknown[]) => queryOnce<Row>(database.url, text, values)
  const urlOf = (role: string, which = 0) => processes[role]?.[which]?.url ?? ''

  beforeAll(async () => {
    database = await openTestDatabase({ migrated: false, max: 1 })
    home = await openHome()
    const environment = {
      ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' },
      ORDERLOG_LOG_LEVEL: 'info',
    }
    // All at once on an empty database: they migrate it under a lock.
    const roles = ['write-side', 'projections', 'projections', 'sagas', 'sagas', 'read-api', 'read-api']
    const started = await Promise.all(roles.map((role) => home.start([role], environment)))
    for (const [index, role] of roles.entries()) {
      const process = started[index]
      if (process) processes[role] = [...(processes[role] ?? []), process]
    }
  })
  afterAll(async () => {
    await home?.close()
    await database?.drop()
  })

  test('a role answers for itself only', async () => {
    expect((await send(urlOf('read-api'), 'POST', '/v1/orders', {})).body.code).toBe('method-not-allowed')
    expect((await send(urlOf('write-side'), 'GET', '/v1/orders')).body.code).toBe('method-not-allowed')
    expect((await send(urlOf('projections'), 'GET', '/v1/orders')).body.code).toBe('route-not-found')
    for (const { url } of Object.values(processes).flat()) await becomesReady(url)
  })

  test('an order is taken to its end, and either read side shows it as soon as its token asks', async () => {
    const shop = createShopClient(urlOf('write-side'))
    await shop.stock('mug', 1_000)
    const placed = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 2 }]))
    const token = { 'Consistency-Token': placed.headers.get('consistency-token') ?? '' }
    const path = `${placed.headers.get('location')}?waitMs=10000`
    for (const which of [0, 1]) {
      const read = await eventually(
        () => send(urlOf('read-api', which), 'GET', path, undefined, token),
        ({ status }) => status !== 503,
      )
      expect(read).toMatchObject({ status: 200, body: { orderId: placed.body.orderId } })
      expect(read.headers.get('consistency')).toBe('current')
    }
    expect(await bringToEnd(shop, query, [placed.body.orderId])).toEqual({ completed: 1 })
  })

  test('orders reach their end and the live feed hears each event once, though one of each two processes is killed', async () => {
    const shop = createShopClient(urlOf('write-side'))
    const live = await openLiveClient(`${urlOf('read-api').replace('http', 'ws')}/v1/live`)
    live.send({ type: 'subscribe', id: 'all', channel: 'orders' })
    await live.first(({ type }) => type === 'caught-up')
    const orders = 60
    const placing = Promise.all(
      Array.from({ length: orders }, (_, index) =>
        shop.write(
          'POST',
          '/v1/orders',
          placeOrder([{ sku: 'mug', quantity: 1 }], { paymentToken: index % 4 === 0 ? 'tok_decline' : 'tok_fail_1' }),
        ),
      ),
    )
    await live.events('all', 20)
    await Promise.all([processes.projections?.[0]?.kill('SIGKILL'), processes.sagas?.[0]?.kill('SIGKILL')])
    const acknowledged: string[] = (await placing).map(({ body }) => body.orderId)
    expect(await bringToEnd(shop, query, acknowledged)).toEqual({ cancelled: 15, completed: 45 })

    // Placed, then confirmed and shipped, or cancelled.
    const events = await live.events('all', orders + 15 + 2 * 45)
    const ids = events.map(({ event }) => (event as { id: string }).id)
    expect(new Set(ids).size).toBe(ids.length)
    const places = events.map(({ position }) => Number(position))
    expect(places).toEqual([...places].sort((a, b) => a - b))
    await live.close()

    const [doubled] = await query(
      `select count(*)::int as orders from (select from gateway.authorisations where status in ('approved', 'captured')
         group by order_id having count(*) > 1) twice`,
    )
    expect(doubled).toEqual({ orders: 0 })
    const { report, differences } = await auditOf({ DATABASE_URL: database.url }, acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  })

  test('each stops by itself when told', async () => {
    const left = Object.entries(processes).flatMap(([role, all]) =>
      role === 'projections' || role === 'sagas' ? all.slice(1) : all,
    )
    expect(await Promise.all(left.map((process) => process.kill('SIGTERM')))).toEqual(left.map(() => 0))
    await eventually(
      () =>
        query<{ count: string }>(`select count(*) from pg_stat_activity where application_name = 'orderlog'
        and datname = current_database()`),
      ([row]) => Number(row?.count) <= 1,
    )
  })
})
