import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { openBusyShop } from '../support/busy-shop.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { type LiveWatch, openLiveWatch } from '../support/live-watch.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { expectRefusal } from '../support/refusals.ts'
import { mayBreakServers, server } from '../support/servers.ts'
import { createShopClient, type Method, send } from '../support/shop-client.ts'
import { allServe, namedBy, saysSo, whileAway } from '../support/while-away.ts'

const engines = ['kafka', 'redis', 'elasticsearch'] as const
const runs = mayBreakServers && missing(...engines).length === 0

/** How long a server is away, milliseconds. */
const killedMs = 10_000
const hungMs = 20_000

describe.skipIf(!runs)(`orders flow on the real servers while${leftOut(...engines)}`, () => {
  let on: TestEngines
  let home: PlatformHome
  let platform: PlatformProcess
  beforeAll(async () => {
    on = await openTestEngines(...engines)
    home = await openHome()
    platform = await home.start([], { ...on.environment, ORDERLOG_LOG_LEVEL: 'info' })
  })
  afterAll(async () => {
    await home?.close()
    await on?.drop()
  })

  const ask = (method: Method, path: string) => send(platform.url, method, path)
  const ready = () => ask('GET', '/health/ready')

  /** Orders flow, something breaks and is mended, orders flow on; then the books are audited. */
  const goesOn = async (breakIt: (live: LiveWatch) => Promise<void>): Promise<void> => {
    await createShopClient(platform.url).stock('kept', 1_000)
    const live = await openLiveWatch(platform.url)
    const shop = await openBusyShop(platform.url)
    const orders = (count: number) =>
      eventually(
        async () => shop.acknowledged.length,
        (found) => found >= count,
        { what: `${count} orders` },
      )
    await Promise.all([orders(20), allServe(platform.url)])
    await breakIt(live)
    await Promise.all([orders(shop.acknowledged.length + 20), live.boards(live.boardsSeen() + 1)])
    await shop.close()
    // Nothing but PostgreSQL may keep an order from being taken.
    for (const refusal of shop.refusals) expectRefusal(refusal, { engine: 'PostgreSQL' })
    await eventually(ready, ({ status }) => status === 200, { what: 'readiness' })
    await bringToEnd(shop.shop, on.database.database.query, shop.acknowledged)
    const { report, differences } = await auditOf(on.environment, shop.acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
    // On one connection, each exactly once, whatever was away meanwhile.
    const placed = await live.events('OrderPlaced', shop.acknowledged)
    expect(placed.length).toBe(shop.acknowledged.length)
    await live.close()
  }

  /** A fault that is not survived is told with what the platform says of itself. */
  const survives = async (breakIt: (live: LiveWatch) => Promise<void>): Promise<void> => {
    try {
      await goesOn(breakIt)
    } catch (error) {
      const projections = await ask('GET', '/v1/projections').catch((problem: unknown) => ({ body: String(problem) }))
      console.error(JSON.stringify(projections.body), `\n${platform.log.slice(-100).join('\n')}`)
      throw error
    }
  }
  const names = ['redis', 'elasticsearch', 'kafka', 'postgres'] as const
  test.each(names)(
    '%s is killed and started again 10 s later',
    async (name) => {
      await survives(async (live) => {
        await server('kill', name)
        try {
          const away = sleep(killedMs)
          await saysSo(platform.url, namedBy[name])
          await whileAway(platform.url, live)[name]()
          await away
        } finally {
          await server('up', name)
        }
      })
    },
    300_000,
  )

  test.each(names)(
    '%s hangs for 20 s with its connections open',
    async (name) => {
      await survives(async (live) => {
        await server('pause', name)
        try {
          const away = sleep(hungMs)
          // The relay says so when its requests were given up, which may be later.
          await saysSo(platform.url, namedBy[name].slice(0, 1))
          await whileAway(platform.url, live)[name]()
          await away
        } finally {
          await server('resume', name)
        }
      })
    },
    300_000,
  )

  test('Redis is flushed', async () => {
    await survives(async () => {
      const redis = new Redis(on.environment.REDIS_URL ?? '')
      await redis.flushall()
      redis.disconnect()
    })
  })

  test('an index of Elasticsearch is deleted', async () => {
    await survives(async () => {
      const client = new Client({ node: on.environment.ELASTICSEARCH_URL ?? '' })
      const indices = Object.keys(await client.indices.get({ index: `${on.namespace}-orders*` }))
      expect(indices.length).toBeGreaterThan(0)
      await client.indices.delete({ index: indices })
      await client.close()
    })
  })

  test('the topic of Kafka is deleted', async () => {
    await survives(async () => {
      const brokers = on.environment.KAFKA_BROKERS?.split(',') ?? []
      const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
      await admin.connect()
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(on.namespace))
      expect(topics.length).toBe(1)
      await admin.deleteTopics({ topics })
      await admin.disconnect()
    })
  })
})
