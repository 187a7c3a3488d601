import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { type Elasticsearch, openElasticsearch } from '../platform/elasticsearch-client.ts'
import { createElasticsearchSearchIndex } from '../platform/elasticsearch-search-index.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openRedis, type RedisConnection } from '../platform/redis-connection.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import {
  deleteIndices,
  elasticsearchUrl,
  indicesOf,
  skippedWithoutElasticsearch,
} from '../test/support/elasticsearch.ts'
import { startOrderWriters } from '../test/support/order-writers.ts'
import { openVerifyRig, type VerifyRig, wholeHistory } from '../test/support/verify-rig.ts'

const redisUrl = process.env.ORDERLOG_TEST_REDIS_URL ?? ''
const who = { operator: 'ada', reason: 'a test' }

describe.skipIf(!redisUrl)(
  `verify of leaderboards in Redis${redisUrl ? '' : ' (left out: ORDERLOG_TEST_REDIS_URL is unset)'}`,
  () => {
    let rig: VerifyRig
    let redis: RedisConnection
    const namespace = `test-${randomUUID()}`
    beforeAll(async () => {
      redis = openRedis({ url: redisUrl, logger })
      rig = await openVerifyRig({
        leaderboards: ({ database }) =>
          createRedisLeaderboardStore({ redis, database, namespace, clock: systemClock, logger }),
      })
      await rig.append(...wholeHistory(rig.vault).events)
    })
    afterAll(async () => {
      await rig?.close()
      await redis?.run(async (client) => {
        for await (const keys of client.scanStream({ match: `${namespace}*`, count: 1_000 }))
          if (keys.length > 0) await client.unlink(...(keys as string[]))
      })
      redis?.close()
    })
    const boardKey = (end: string) =>
      redis.run(async (client) => {
        const keys = await client.keys(`${namespace}*${end}`)
        expect(keys).toHaveLength(1)
        return keys[0] ?? ''
      })

    test('finds no difference while writers append, and the one that somebody made', async () => {
      const writers = startOrderWriters(rig.store)
      try {
        for (let round = 0; round < 8; round += 1)
          expect((await rig.verifier.verify('leaderboards')).differences).toEqual([])
        const key = await boardKey('products:units::all:1970-01-01T00:00:00Z')
        await redis.run((client) => client.zincrby(key, -3, 'lamp'))
        const { differences } = await rig.verifier.verify('leaderboards')
        expect(differences).toMatchObject([{ key: 'products units - all 1970-01-01T00:00:00Z|lamp', kind: 'differs' }])
        const repaired = await rig.verifier.verify('leaderboards', { repair: who })
        expect(repaired).toMatchObject({ differenceCount: 0, repaired: { rows: 1 } })
      } finally {
        await writers.end()
      }
      await rig.caughtUp()
      expect(await rig.verifier.verify('leaderboards')).toMatchObject({
        ...{ differences: [], position: await rig.store.head() },
      })
    })

    test('names a member that is not there, one that nothing explains, and a board that was deleted', async () => {
      const key = await boardKey('products:units::day:2026-03-01T00:00:00Z')
      await redis.run((client) => client.zrem(key, 'bulb'))
      await redis.run((client) => client.zadd(key, -3, 'ghost'))
      expect((await rig.verifier.verify('leaderboards')).differences).toMatchObject(
        expect.arrayContaining([
          expect.objectContaining({ kind: 'missing', key: 'products units - day 2026-03-01T00:00:00Z|bulb' }),
          expect.objectContaining({ kind: 'unexpected', key: 'products units - day 2026-03-01T00:00:00Z|ghost' }),
        ]),
      )
      expect(await rig.verifier.verify('leaderboards', { repair: who })).toMatchObject({ differenceCount: 0 })
      await redis.run((client) => client.del(key))
      expect((await rig.verifier.verify('leaderboards')).missing).toBeGreaterThan(0)
    })
  },
)

describe.skipIf(!elasticsearchUrl)(`verify of search in Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  let rig: VerifyRig
  let engine: Elasticsearch
  let told: ReturnType<typeof wholeHistory>
  const prefix = `test-${randomUUID()}`
  beforeAll(async () => {
    engine = openElasticsearch({ url: elasticsearchUrl })
    rig = await openVerifyRig({
      searchIndex: ({ database }) => createElasticsearchSearchIndex({ engine, database, logger, prefix }),
    })
    told = wholeHistory(rig.vault)
    await rig.append(...told.events)
    await rig.caughtUp()
  })
  afterAll(async () => {
    await rig?.close()
    await deleteIndices(engine, prefix)
    await engine?.close()
  })
  const indexOf = async (kind: string) => {
    const [index] = (await indicesOf(engine, prefix)).filter((name) => name.includes(kind))
    return index ?? ''
  }
  /** Writes a document as somebody else would, in the version that it has. */
  const tamper = async (
    index: string,
    id: string,
    change: (source: Record<string, unknown>) => Record<string, unknown>,
  ) => {
    const found = await engine.query((client, options) => client.get<Record<string, unknown>>({ index, id }, options))
    await engine.write((client, options) =>
      client.index(
        {
          index,
          id,
          version: found._version ?? 0,
          version_type: 'external_gte',
          refresh: true,
          document: change(found._source ?? {}),
        },
        options,
      ),
    )
  }

  test('finds no difference while writers append', async () => {
    const writers = startOrderWriters(rig.store, 2)
    try {
      for (let round = 0; round < 6; round += 1)
        for (const name of ['order_search', 'product_search'])
          expect((await rig.verifier.verify(name, { sample: round % 2 ? 20 : undefined })).differences).toEqual([])
    } finally {
      await writers.end()
    }
    await rig.caughtUp()
    expect((await rig.verifier.verify('order_search')).differences).toEqual([])
  })

  test('names what differs in a document and in how it is indexed, and repairs it', async () => {
    const orders = await indexOf('orders')
    const { orderId } = told.refunded
    await tamper(orders, orderId, (source) => ({
      ...source,
      document: { ...(source.document as object), status: 'placed' },
    }))
    const { differences } = await rig.verifier.verify('order_search')
    expect(differences).toContainEqual(
      expect.objectContaining({ key: orderId, field: 'status', expected: 'delivered', found: 'placed' }),
    )
    expect(await rig.verifier.verify('order_search', { repair: who })).toMatchObject({ differenceCount: 0 })
    await tamper(orders, orderId, (source) => ({ ...source, person: ['zzz'] }))
    expect((await rig.verifier.verify('order_search')).differences).toMatchObject([
      { key: orderId, field: 'person', withheld: 'index' },
    ])
    expect(await rig.verifier.verify('order_search', { repair: who })).toMatchObject({ differenceCount: 0 })
    await tamper(await indexOf('products'), 'lamp', (source) => ({ ...source, brand: 'zzz' }))
    expect((await rig.verifier.verify('product_search')).differences).toMatchObject([{ key: 'lamp', field: 'brand' }])
    expect(await rig.verifier.verify('product_search', { repair: who })).toMatchObject({ differenceCount: 0 })
    expect((await rig.verifier.verify('order_search')).differences).toEqual([])
  })

  test('names a document that is missing and one that nothing explains, and repairs both', async () => {
    const orders = await indexOf('orders')
    const [gone, ghost] = [told.cancelled.orderId, randomUUID()]
    await engine.write((client, options) => client.delete({ index: orders, id: gone, refresh: true }, options))
    const copy = await engine.query((client, options) =>
      client.get<Record<string, unknown>>({ index: orders, id: told.refunded.orderId }, options),
    )
    await engine.write((client, options) =>
      client.index(
        { index: orders, id: ghost, version: 1, version_type: 'external', refresh: true, document: copy._source ?? {} },
        options,
      ),
    )
    const { differences } = await rig.verifier.verify('order_search')
    expect(differences.map(({ kind, key }) => `${kind} ${key}`).sort()).toEqual([
      `missing ${gone}`,
      `unexpected ${ghost}`,
    ])
    expect(await rig.verifier.verify('order_search', { repair: who })).toMatchObject({
      ...{ differenceCount: 0, repaired: { rows: 2 } },
    })
    expect((await rig.verifier.verify('order_search')).differences).toEqual([])
  })
})
