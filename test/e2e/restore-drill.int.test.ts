import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { type Engine, leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { queryOnce } from '../support/platform-home.ts'
import { finished, type PlatformProcess, spawnCli, startProcess } from '../support/platform-process.ts'
import { copyDatabase, putBackDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

const engines = ['kafka', 'redis', 'elasticsearch'] as const
const patience = { ORDERLOG_SHUTDOWN_TIMEOUT_MS: '60000', ORDERLOG_RESERVATION_DEADLINE_MS: '600000' }

/** A shop on engines of its own, whose log can be put back. */
const openShop = async (on: TestEngines, more: Readonly<Record<string, string>> = {}) => {
  const environment: Readonly<Record<string, string>> = { ...patience, ...on.environment, ...more }
  const ask = <Row>(text: string, values?: readonly unknown[]) => queryOnce<Row>(on.database.url, text, values)
  let platform: PlatformProcess | undefined

  const start = async (): Promise<PlatformProcess> => {
    platform = await startProcess(environment)
    return platform
  }
  const running = (): PlatformProcess => {
    if (!platform) throw new Error('the platform was not started')
    return platform
  }
  const place = async (count: number, customerId: string): Promise<string[]> => {
    const shop = createShopClient(running().url)
    return Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const paymentToken = index % 3 === 1 ? 'tok_decline' : 'tok_approve'
        const body = placeOrder([{ sku: 'mug', quantity: 1 }], { customerId, paymentToken })
        const { status, body: placed } = await shop.write('POST', '/v1/orders', body)
        expect(status, JSON.stringify(placed)).toBe(201)
        return placed.orderId as string
      }),
    )
  }
  const readiness = () => send(running().url, 'GET', '/health/ready')
  const caughtUp = () =>
    eventually(
      async () => [await readiness(), (await send(running().url, 'GET', '/v1/projections')).body] as const,
      ([{ status }, { projections }]) =>
        status === 200 &&
        projections.every(
          ({ partitions }: { partitions: { lagEvents: string }[] }) =>
            partitions.length > 0 && partitions.every(({ lagEvents }) => lagEvents === '0'),
        ),
      { what: 'every consumer to have read the log', withinMs: 240_000, everyMs: 250 },
    ).catch(async (error: unknown) => {
      const said = await send(running().url, 'GET', '/v1/projections')
      throw new Error(`${String(error)}\n${JSON.stringify((await readiness()).body)}\n${JSON.stringify(said.body)}`)
    })

  return {
    environment,
    ask,
    start,
    place,
    caughtUp,
    readiness,
    kill: (signal: NodeJS.Signals) => running().kill(signal),
    end: (orders: readonly string[]) => bringToEnd(createShopClient(running().url), ask, orders),
    write: (path: string, body: unknown) => createShopClient(running().url).write('POST', path, body),
    get: (path: string) => send(running().url, 'GET', path),
    stock: () => createShopClient(running().url).stock('mug', 10_000),
    rebuildStale: () => {
      const ORDERLOG_PORT = new URL(running().url).port
      const args = ['rebuild', '--stale', '--sample', '20', '--operator', 'ada', '--reason', 'restored']
      return finished(spawnCli(args, { ...environment, ORDERLOG_PORT })).catch(async (error: unknown) => {
        const state = await Promise.all([
          ask('select * from platform.rebuilds'),
          ask('select * from platform.put_back'),
        ])
        throw new Error(`${String(error)}\n${JSON.stringify(state)}\n${running().log.slice(-100).join('\n')}`)
      })
    },
    /** Rows of the read models and of the saga that tell what was applied. */
    derived: async () => ({
      orders: await ask('select order_id, status, position from order_details.orders order by 1'),
      stock: await ask('select * from stock_levels.stock order by 1'),
      payments: await ask('select * from payments.payments order by 1'),
      instances: await ask('select order_id, status, revision from saga.instances order by 1'),
      authorisations: await ask('select key, status from gateway.authorisations order by 1'),
      checkpoints: await ask(
        "select consumer, partition, position from platform.checkpoints where consumer <> 'x' order by 1, 2",
      ),
    }),
  }
}
type Shop = Awaited<ReturnType<typeof openShop>>

/** What a restored log is found to be, and how everything comes right again. */
const drill = async (
  shop: Shop,
  how: {
    readonly remember: () => Promise<() => Promise<void>>
    /** Consumers that must be found ahead. */
    readonly ahead: readonly string[]
    readonly engines: Readonly<Record<string, string>>
    /** Money that the provider has taken for orders that the log has lost. */
    readonly charged: boolean
    /** Orders that are placed before anything is mended: few leave the log short of the checkpoints, many do not. */
    readonly placedLater: number
  },
): Promise<void> => {
  await shop.start()
  await shop.stock()
  const kept = await shop.place(30, 'before')
  await shop.end(kept)
  await shop.caughtUp()
  // Under way when the backup is made: the rest of them is lost, and done again.
  const openOrders = await shop.place(6, 'open')
  await shop.kill('SIGTERM')
  const putBack = await how.remember()

  await shop.start()
  await shop.end(openOrders)
  const lost = await shop.place(40, 'lost')
  await shop.end(lost)
  await shop.caughtUp()
  await shop.kill('SIGKILL')
  await putBack()

  await shop.start()
  const known = await shop.ask<{ consumer: string }>('select consumer from platform.put_back')
  expect(known.map(({ consumer }) => consumer)).toEqual(
    expect.arrayContaining(how.ahead.filter((each) => each !== 'kafka')),
  )
  await eventually(
    async () =>
      [await shop.readiness(), await shop.ask<{ consumer: string }>('select consumer from platform.put_back')] as const,
    ([{ status, body }, rows]) =>
      status === 503 &&
      JSON.stringify(body).includes('an older log was put back') &&
      how.ahead.every((name) => rows.some(({ consumer }) => consumer === name)),
    { what: `readiness, and ${how.ahead} found ahead`, withinMs: 120_000 },
  )
  // Commands go on, and the log grows. What is ahead stands still.
  const before = await shop.derived()
  const later = await shop.place(how.placedLater, 'later')
  await shop.kill('SIGKILL')
  await shop.start()
  await eventually(shop.readiness, ({ status }) => status === 503, { what: 'readiness' })
  const still = await shop.derived()
  const frozen = (rows: readonly unknown[], names: readonly string[]) =>
    rows.filter((row) => names.includes((row as { consumer: string }).consumer))
  expect(frozen(still.checkpoints, how.ahead)).toEqual(frozen(before.checkpoints, how.ahead))
  if (how.ahead.includes('order-fulfilment')) {
    expect(still.instances).toEqual(before.instances)
    expect(still.authorisations).toEqual(before.authorisations)
  }
  if (how.ahead.includes('order_details')) expect(still.orders).toEqual(before.orders)

  const { code, stdout, stderr } = await shop.rebuildStale()
  expect([code, stderr], stdout).toEqual([0, ''])
  for (const name of how.ahead) expect(stdout).toContain(name)
  await shop.caughtUp()
  await shop.end([...openOrders, ...later])
  await shop.caughtUp()
  expect(await shop.ask('select consumer from platform.put_back')).toEqual(
    // A generation from before is kept, and cannot be swapped back.
    (await shop.ask<{ consumer: string }>('select consumer from platform.put_back')).filter(({ consumer }) =>
      consumer.includes('@'),
    ),
  )
  await shop.kill('SIGTERM')
  const audit = await auditOf(how.engines, [...kept, ...openOrders, ...later])
  expect(audit.differences.filter((sentence) => !lost.some((id) => sentence.includes(id)))).toEqual([])
  expect(audit.report).toMatchObject(cleanReport)
  for (const id of lost) expect(audit.fold.orders.has(id)).toBe(false)
  const charges = await shop.ask('select from gateway.authorisations where order_id = any ($1)', [lost])
  expect(charges.length > 0).toBe(how.charged)
}

/** Everything in PostgreSQL that reads the log, where nothing else does. */
const inPostgres = ['order-fulfilment', 'order_details', 'stock_levels', 'payments', 'personal_data_eraser']

describe('a log that is put back to an older backup', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const open = async (...names: readonly Engine[]): Promise<TestEngines> => {
    const on = await openTestEngines(...names)
    closing.push(on.drop)
    return on
  }

  test('alone, beside read models, saga and checkpoints that stay: all of them stop, and one command mends it', async () => {
    const on = await open()
    const shop = await openShop(on)
    closing.push(() => shop.kill('SIGKILL'))
    const remember = async () => {
      const [row] = await shop.ask<{ head: string }>('select max(position) as head from log.events')
      return async () => {
        await shop.ask('alter table log.events disable trigger append_only')
        await shop.ask('delete from log.events where position > $1', [row?.head])
        await shop.ask('alter table log.events enable always trigger append_only')
      }
    }
    const ahead = [...inPostgres, 'leaderboards', 'order_search']
    await drill(shop, { remember, ahead, engines: on.environment, charged: true, placedLater: 60 })
  }, 600_000)

  test('in EventStoreDB, while PostgreSQL stays', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'orderlog-drill-'))
    closing.push(() => rm(directory, { recursive: true, force: true }))
    const file = join(directory, 'log.ndjson')
    const server: EventStoreDbServer = await startEventStoreDbServer({ file })
    closing.push(() => server.kill())
    const on = await open()
    const shop = await openShop(on, { EVENTSTORE_URL: server.url })
    closing.push(() => shop.kill('SIGKILL'))
    const remember = async () => {
      await copyFile(file, `${file}.copy`)
      return async () => {
        await server.kill()
        await copyFile(`${file}.copy`, file)
        await server.start()
      }
    }
    const ahead = [...inPostgres, 'leaderboards', 'order_search']
    await drill(shop, { remember, ahead, engines: shop.environment, charged: true, placedLater: 60 })
  }, 600_000)

  test.skipIf(missing(...engines).length > 0)(
    `with all of PostgreSQL, while Kafka, Redis and Elasticsearch stay ahead${leftOut(...engines)}`,
    async () => {
      const on = await open(...engines)
      const shop = await openShop(on)
      closing.push(() => shop.kill('SIGKILL'))
      const remember = async () => {
        const copy = await copyDatabase(on.database)
        closing.push(copy.drop)
        return () => putBackDatabase(on.database, copy)
      }
      const ahead = ['leaderboards', 'order_search', 'product_search', 'kafka']
      await drill(shop, { remember, ahead, engines: on.environment, charged: false, placedLater: 10 })
    },
    600_000,
  )
})
