import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { openLiveWatch } from '../support/live-watch.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { expectRefusal } from '../support/refusals.ts'
import { mayBreakServers, server } from '../support/servers.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'
import { namedBy, saysSo } from '../support/while-away.ts'

const late = ['kafka', 'redis', 'elasticsearch'] as const
const runs = mayBreakServers && missing(...late).length === 0
const board = '/v1/leaderboards/products?by=units&window=all'
const search = '/v1/search/products?q=cup'

describe.skipIf(!runs)(`engines that come up after the platform${leftOut(...late)}`, () => {
  let on: TestEngines
  let home: PlatformHome
  beforeEach(async () => {
    on = await openTestEngines(...late)
    home = await openHome()
  })
  afterEach(async () => {
    await home.close()
    await Promise.all(late.map((name) => server('up', name)))
    await on.drop()
  })

  test('are waited for, each by name; what does not need them works, and then orders flow', async () => {
    await Promise.all(late.map((name) => server('kill', name)))
    const platform = await home.start([], { ...on.environment, ORDERLOG_LOG_LEVEL: 'info' })
    const waits = platform.log.filter((line) => line.includes('which does not answer'))
    expect(waits).toHaveLength(late.length)
    for (const [index, name] of ['Kafka', 'Redis', 'Elasticsearch'].entries())
      expect(waits[index]).toContain(`wait for ${name} on 127.0.0.1:`)
    await saysSo(
      platform.url,
      late.flatMap((name) => namedBy[name]),
    )
    const shop = createShopClient(platform.url)
    const live = await openLiveWatch(platform.url)
    await shop.stock('cup', 100)
    const place = async (): Promise<string> => {
      const placed = await send(platform.url, 'POST', '/v1/orders', placeOrder([{ sku: 'cup', quantity: 1 }]))
      expect(placed.status).toBe(201)
      return placed.body.orderId
    }
    const orders = [await place(), await place()]
    await live.events('OrderPlaced', orders)
    expect((await send(platform.url, 'GET', '/v1/orders')).status).toBe(200)
    expect(live.boardsSeen()).toBe(0)
    expectRefusal(await send(platform.url, 'GET', board), { engine: 'Redis' })
    expectRefusal(await send(platform.url, 'GET', search), { engine: 'Elasticsearch' })

    await Promise.all(late.map((name) => server('up', name)))
    orders.push(await place())
    await becomesReady(platform.url)
    expect(await bringToEnd(shop, on.database.database.query, orders)).toEqual({ completed: orders.length })
    await live.boards(1)
    await live.close()
    const { report, differences } = await auditOf(on.environment, orders)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
    expect((await send(platform.url, 'GET', board)).body.places).toMatchObject([{ key: 'cup', units: orders.length }])
    expect((await send(platform.url, 'GET', search)).body.hits).toHaveLength(1)
  })
})
