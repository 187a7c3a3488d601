import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { mayBreakServers, server } from '../support/servers.ts'
import { createShopClient, placeOrder, type ShopClient, send } from '../support/shop-client.ts'

const runs = mayBreakServers && missing('kafka').length === 0

describe.skipIf(!runs)(`two relays${leftOut('kafka')}`, () => {
  let on: TestEngines
  let home: PlatformHome
  let shop: ShopClient
  let startRelay: () => Promise<PlatformProcess>
  let relays: PlatformProcess[]
  const orders: string[] = []

  beforeAll(async () => {
    on = await openTestEngines('kafka')
    home = await openHome()
    const environment = { ...on.environment, ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info' }
    startRelay = () => home.start(['relay'], environment)
    const [rest, ...started] = await Promise.all([
      home.start(['write-side', 'projections', 'sagas', 'read-api'], environment),
      startRelay(),
      startRelay(),
    ])
    relays = started
    shop = createShopClient(rest.url)
    await shop.stock('cup', 1_000)
  })
  afterAll(async () => {
    await home?.close()
    await on?.drop()
  })

  /** What a relay says of itself: `carries`, `standby`, or why it waits; a process that does not answer says nothing. */
  const saidBy = async ({ url }: PlatformProcess): Promise<string> => {
    const { relay } = (await send(url, 'GET', '/health/ready')).body.checks
    if (!relay.ok) return `waits: ${relay.detail}`
    return /^standby/.exec(relay.detail)?.[0] ?? 'carries'
  }
  /** Waits until one relay carries the log and all others stand by; the one that carries it comes first. */
  const settled = async (among: readonly PlatformProcess[] = relays): Promise<PlatformProcess[]> => {
    const says = await eventually(
      () => Promise.all(among.map(saidBy)),
      (all) => [...all].sort().join() === ['carries', ...among.slice(1).map(() => 'standby')].join(),
      { what: 'one relay that carries the log, beside others that stand by' },
    )
    return [...among].sort(
      (a, b) => Number(says[among.indexOf(b)] === 'carries') - Number(says[among.indexOf(a)] === 'carries'),
    )
  }
  /** An order that is led on, which takes a relay. */
  const orderFlows = async (): Promise<void> => {
    const { status, body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'cup', quantity: 1 }]))
    expect(status).toBe(201)
    orders.push(body.orderId)
    await shop.orderIn(body.orderId, 'confirmed')
  }

  test('after an outage of Kafka one carries the log and the other stands by, and takes over when that one is killed', async () => {
    await settled()
    await orderFlows()
    await server('kill', 'kafka')
    try {
      await eventually(
        () => Promise.all(relays.map(saidBy)),
        (all) => all.some((said) => said.startsWith('waits: Kafka is unavailable')),
        { what: 'a relay that says that Kafka is away' },
      )
    } finally {
      await server('up', 'kafka')
    }
    const [carrying, standing] = await settled()
    await orderFlows()
    await carrying?.kill('SIGKILL')
    relays = standing ? [standing] : []
    await settled()
    await orderFlows()
  })

  test('one that is stopped with its connections open is taken over, and stands by when it goes on', async () => {
    relays = [...relays, await startRelay()]
    const [carrying, standing] = await settled()
    if (!carrying || !standing) throw new Error('there are two relays')
    process.kill(carrying.pid, 'SIGSTOP')
    try {
      await settled([standing])
      await orderFlows()
    } finally {
      process.kill(carrying.pid, 'SIGCONT')
    }
    expect((await settled())[0]).toBe(standing)
    await orderFlows()
    expect(await bringToEnd(shop, on.database.database.query, orders)).toEqual({ completed: orders.length })
    const { report, differences } = await auditOf(on.environment, orders)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  })
})
