import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Answer } from '../support/ask.ts'
import { auditOf, cleanReport } from '../support/audit.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { openBusyShop } from '../support/busy-shop.ts'
import { type EventStoreDbProcess, startEventStoreDbProcess } from '../support/eventstoredb-process.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { expectRefusal } from '../support/refusals.ts'
import { createShopClient, type Method, placeOrder, product, type ShopClient, send } from '../support/shop-client.ts'

const engine = 'EventStoreDB'
/** How long the server is away at least, milliseconds. */
const killedMs = 10_000
const hungMs = 20_000

interface Command {
  readonly method: Method
  readonly path: string
  readonly body: unknown
  readonly key: string
  /** What it is answered once the log is there. */
  readonly status: number
}

describe('while the log in EventStoreDB is away', () => {
  let log: EventStoreDbProcess
  let database: TestDatabase
  let home: PlatformHome
  let platform: PlatformProcess
  let environment: Readonly<Record<string, string>>
  let shop: ShopClient
  beforeEach(async () => {
    log = await startEventStoreDbProcess()
    database = await openTestDatabase({ migrated: false, max: 1 })
    home = await openHome()
    environment = { DATABASE_URL: database.url, EVENTSTORE_URL: log.url }
    platform = await home.start([], { ...environment, ORDERLOG_LOG_LEVEL: 'info' })
    shop = createShopClient(platform.url)
  })
  afterEach(async () => {
    await home?.close()
    await database?.drop()
    await log?.close()
  })

  const get = (path: string) => send(platform.url, 'GET', path)
  const post = ({ method, path, body, key }: Command): Promise<Answer> =>
    send(platform.url, method, path, body, { 'Idempotency-Key': key })

  /** An order of one cup that is ready to be shipped. */
  const confirmedOrder = async (): Promise<string> => {
    const { status, body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'cup', quantity: 1 }]))
    expect(status, JSON.stringify(body)).toBe(201)
    await shop.orderIn(body.orderId, 'confirmed')
    return body.orderId
  }

  /** One command of each kind of aggregate. */
  const commandsOn = (toShip: string, toCancel: string): Command[] => {
    const late = placeOrder([{ sku: 'cup', quantity: 1 }], { customerId: 'late' })
    const commands: Omit<Command, 'key'>[] = [
      { method: 'POST', path: '/v1/orders', body: late, status: 201 },
      { method: 'POST', path: `/v1/orders/${toShip}/ship`, body: { carrier: 'UPS', trackingId: '1Z' }, status: 200 },
      { method: 'POST', path: `/v1/orders/${toCancel}/cancel`, body: {}, status: 200 },
      { method: 'POST', path: '/v1/products', body: product('saucer', 300), status: 201 },
      { method: 'POST', path: '/v1/products/counted/stock', body: { receive: 5 }, status: 200 },
    ]
    return commands.map((command) => ({ ...command, key: randomUUID() }))
  }

  const expectReadModelsServed = async (orderId: string): Promise<void> => {
    const paths = [
      ...['/v1/orders', `/v1/orders/${orderId}`, `/v1/orders/${orderId}/timeline`, '/v1/customers/ada/orders'],
      ...['/v1/products', '/v1/products/cup', '/v1/stock/cup', `/v1/payments/${orderId}`, '/v1/sales'],
      ...['/v1/leaderboards/products?by=units&window=all', '/v1/search/products?q=cup', '/v1/search/orders?q=ada'],
      ...['/v1/sagas', '/v1/projections', '/v1/parked-events', '/health/live'],
    ]
    const statuses = await Promise.all(paths.map(async (path) => [path, (await get(path)).status]))
    expect(statuses).toEqual(paths.map((path) => [path, 200]))
    // What is read from the log itself.
    for (const path of [`/v1/orders/${orderId}?asOf=0`, `/v1/sagas/${orderId}`])
      expectRefusal(await get(path), { engine })
    const { head, projections } = (await get('/v1/projections')).body
    expect({ head, details: projections.find(({ name }: { name: string }) => name === 'order_details') }).toMatchObject(
      {
        head: null,
        details: { partitions: [{ position: expect.stringMatching(/^[1-9]\d*$/), lagEvents: null }] },
      },
    )
    const { code, stdout, stderr } = await home.run(['status'])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout).toMatch(/event-store +│ NO/)
    expect(stdout).toMatch(/order_details +│ \w+ +│ 0 +│ [1-9]\d* +│ unknown/)
  }

  const goesOn = async (breakIt: () => Promise<void> | void, awayMs: number, mendIt: () => Promise<void> | void) => {
    await shop.stock('cup', 1_000)
    await shop.stock('counted', 10)
    const [shipped, cancelled] = await Promise.all([confirmedOrder(), confirmedOrder()])
    const commands = commandsOn(shipped, cancelled)
    const busy = await openBusyShop(platform.url)
    const taken = (count: number) =>
      eventually(
        async () => busy.acknowledged.length,
        (found) => found >= count,
        { what: `${count} orders` },
      )
    await taken(20)

    await breakIt()
    const away = sleep(awayMs)
    const notReady = await eventually(
      () => get('/health/ready'),
      ({ status }) => status === 503,
      { what: 'a readiness that tells' },
    )
    expect(notReady.body).toMatchObject({
      status: 'not-ready',
      checks: { 'event-store': { ok: false, detail: expect.any(String) }, postgresql: { ok: true } },
    })
    const refused = Promise.all(commands.map(post))
    refused.catch(() => undefined)
    await expectReadModelsServed(shipped)
    for (const answer of await refused) expectRefusal(answer, { engine })
    await away
    await mendIt()

    await taken(busy.acknowledged.length + 20)
    // Twice: what a repeat after an unknown outcome has done is not done again by the next one.
    const answers = await Promise.all(
      commands.map(({ method, path, body, key }) => shop.write(method, path, body, key)),
    )
    expect(answers.map(({ status }) => status)).toEqual(commands.map(({ status }) => status))
    const again = await Promise.all(commands.map(post))
    expect(again.map(({ status, body }) => ({ status, body }))).toEqual(
      answers.map(({ status, body }) => ({ status, body })),
    )
    await busy.close()
    await becomesReady(platform.url)

    const late: string = answers[0]?.body.orderId
    const orders = [...busy.acknowledged, shipped, cancelled, late]
    await bringToEnd(shop, database.database.query, orders)
    const { report, differences } = await auditOf(environment, orders)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
    expect((await get('/v1/customers/late/orders')).body.orders).toMatchObject([{ orderId: late }])
    expect((await get('/v1/stock/counted')).body.onHandUnits).toBe(15)
    expect((await get(`/v1/orders/${cancelled}`)).body.status).toBe('cancelled')
    const { entries } = (await get(`/v1/orders/${shipped}/timeline?limit=200`)).body
    expect(entries.filter(({ type }: { type: string }) => type === 'OrderShipped').length).toBe(1)
  }

  /** A fault that is not survived is told with what the platform says of itself. */
  const survives = async (...fault: Parameters<typeof goesOn>): Promise<void> => {
    try {
      await goesOn(...fault)
    } catch (error) {
      console.error(platform.log.slice(-100).join('\n'))
      throw error
    }
  }

  test('killed, and started again 10 s later: commands are refused whole, the rest serves, orders flow on', async () => {
    await survives(log.kill, killedMs, log.start)
  }, 300_000)

  test('hung for 20 s with its connections open: commands are refused whole, the rest serves, orders flow on', async () => {
    await survives(log.pause, hungMs, log.resume)
  }, 300_000)
})
