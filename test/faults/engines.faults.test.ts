import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { openBusyShop } from '../support/busy-shop.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { mayBreakServers, type Server, server } from '../support/servers.ts'
import { createShopClient, type Method, placeOrder, send } from '../support/shop-client.ts'

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

  const ask = (method: Method, path: string, body?: unknown) => send(platform.url, method, path, body)
  const ready = () => ask('GET', '/health/ready')

  /** What a customer gets, in a word: a status, or the engine that is said to be away. */
  const get = async (path: string): Promise<number | string> => {
    const { status, body } = await ask('GET', path)
    return status === 503 ? (body.engine ?? body.code) : status
  }

  /** Whether everything that has to do with this engine says so and everything else goes on. */
  const whileAway: Record<Server, () => Promise<void>> = {
    redis: async () => {
      expect(await get('/v1/leaderboards/products?by=units&window=all')).toBe('Redis')
      expect([await get('/v1/orders'), await get('/v1/search/products?q=cup'), await get('/v1/sales')]).toEqual([
        200, 200, 200,
      ])
    },
    elasticsearch: async () => {
      expect(await get('/v1/search/products?q=cup')).toBe('Elasticsearch')
      expect(await get('/v1/search/orders?q=ada')).toBe('Elasticsearch')
      expect([await get('/v1/orders'), await get('/v1/leaderboards/products?by=units&window=all')]).toEqual([200, 200])
    },
    kafka: async () => {
      // Orders are taken, what is derived from them waits.
      expect([await get('/v1/orders'), await get('/v1/search/products?q=cup')]).toEqual([200, 200])
      expect((await ask('POST', '/v1/orders', placeOrder([{ sku: 'kept', quantity: 1 }]))).status).toBe(201)
    },
    postgres: async () => {
      const refused = await ask('POST', '/v1/orders', placeOrder([{ sku: 'kept', quantity: 1 }]))
      expect(refused).toMatchObject({ status: 503, body: { code: 'engine-unavailable', engine: 'PostgreSQL' } })
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
      expect(await get('/v1/orders')).toBe('PostgreSQL')
      expect((await ask('GET', '/health/live')).status).toBe(200)
    },
  }

  /** Orders flow, something breaks and is mended, orders flow on; then the books are audited. */
  const goesOn = async (breakIt: () => Promise<void>): Promise<void> => {
    await createShopClient(platform.url).stock('kept', 1_000)
    const shop = await openBusyShop(platform.url)
    const orders = (count: number) =>
      eventually(
        async () => shop.acknowledged.length,
        (found) => found >= count,
        { what: `${count} orders` },
      )
    await orders(20)
    await breakIt()
    await orders(shop.acknowledged.length + 20)
    await shop.close()
    await eventually(ready, ({ status }) => status === 200, { what: 'readiness' })
    await bringToEnd(shop.shop, on.database.database.query, shop.acknowledged)
    const { report, differences } = await auditOf(on.environment, shop.acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  }

  /** A fault that is not survived is told with what the platform says of itself. */
  const survives = async (breakIt: () => Promise<void>): Promise<void> => {
    try {
      await goesOn(breakIt)
    } catch (error) {
      const projections = await ask('GET', '/v1/projections').catch((problem: unknown) => ({ body: String(problem) }))
      console.error(JSON.stringify(projections.body), `\n${platform.log.slice(-100).join('\n')}`)
      throw error
    }
  }
  const names = ['redis', 'elasticsearch', 'kafka', 'postgres'] as const
  const checkOf = { redis: 'redis', elasticsearch: 'elasticsearch', kafka: 'kafka', postgres: 'postgresql' }
  const toldOf = (name: Server) =>
    eventually(ready, ({ status, body }) => status === 503 && body.checks[checkOf[name]]?.ok === false, {
      what: `readiness that names ${name}`,
    })

  test.each(names)(
    '%s is killed and started again 10 s later',
    async (name) => {
      await survives(async () => {
        await server('kill', name)
        const away = sleep(killedMs)
        await toldOf(name)
        await whileAway[name]()
        await away
        await server('up', name)
      })
    },
    300_000,
  )

  test.each(names)(
    '%s hangs for 20 s with its connections open',
    async (name) => {
      await survives(async () => {
        await server('pause', name)
        try {
          const away = sleep(hungMs)
          await toldOf(name)
          await whileAway[name]()
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
