import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { describeLeaderboardGenerations } from './leaderboard-generations.contract.ts'
import { describeLeaderboardStore } from './leaderboard-store.contract.ts'
import type { LeaderboardDelta } from './leaderboard-store.ts'
import { silentLogger } from './logging.ts'
import { seal } from './partitioning.ts'
import { openRedis, type RedisConnection } from './redis-connection.ts'
import { spaceOf } from './redis-leaderboard-keys.ts'
import { createRedisLeaderboardStore } from './redis-leaderboard-store.ts'
import { ScoreBeyondBound } from './redis-leaderboard-writes.ts'

const url = process.env.ORDERLOG_TEST_REDIS_URL ?? ''
const logger = silentLogger

const dropKeys = (redis: RedisConnection, namespace: string): Promise<void> =>
  redis.run(async (client) => {
    for await (const keys of client.scanStream({ match: `${namespace}*`, count: 1_000 }))
      if (keys.length > 0) await client.unlink(...(keys as string[]))
  })

describe.skipIf(url === '')(`Redis${url ? '' : ' (left out: ORDERLOG_TEST_REDIS_URL is unset)'}`, () => {
  describeLeaderboardStore('redis', async ({ clock }) => {
    const { database, drop } = await openTestDatabase()
    const redis = openRedis({ url, logger })
    const namespace = `test-${randomUUID()}`
    const store = createRedisLeaderboardStore({ redis, database, namespace, clock, logger })
    const identity = randomUUID()
    await Promise.all([store.prepare(identity), store.prepare(identity)])
    return {
      store,
      close: async () => {
        await dropKeys(redis, namespace)
        redis.close()
        await drop()
      },
    }
  })

  describeLeaderboardGenerations('redis', async (clock) => {
    const { database, drop } = await openTestDatabase()
    const namespace = `test-${randomUUID()}`
    const opened: RedisConnection[] = []
    const other = () => {
      const redis = openRedis({ url, logger })
      opened.push(redis)
      const store = createRedisLeaderboardStore({ redis, database, namespace, clock, logger })
      return { store, lose: redis.close }
    }
    const { store } = other()
    return {
      database,
      store,
      other,
      checkpoints: () => store.checkpoints('leaderboards'),
      reader: store,
      close: async () => {
        const redis = openRedis({ url, logger })
        await dropKeys(redis, namespace)
        for (const each of [redis, ...opened]) each.close()
        await drop()
      },
    }
  })

  describe('the leaderboards in Redis', () => {
    const now = new Date('2026-11-21T12:30:00.000Z')
    const identity = randomUUID()
    const consumer = 'leaderboards'
    let test: TestDatabase
    let redis: RedisConnection
    const namespaces: string[] = []
    beforeAll(async () => {
      test = await openTestDatabase()
      redis = openRedis({ url, logger })
    })
    afterAll(async () => {
      for (const namespace of namespaces) await dropKeys(redis, namespace)
      redis?.close()
      await test?.drop()
    })

    const storeOn = (namespace: string, partitions?: readonly number[]) =>
      createRedisLeaderboardStore({
        ...{ redis, database: test.database, namespace, clock: { now: () => now }, logger },
        ...(partitions && { partitions }),
      })
    const open = async () => {
      const namespace = `test-${randomUUID()}`
      namespaces.push(namespace)
      const store = storeOn(namespace)
      await store.prepare(identity)
      return { namespace, space: spaceOf(namespace, 1), store }
    }
    const sold = (key: string, revenue: bigint, units = 1n): LeaderboardDelta => ({
      board: 'products',
      key,
      at: now.toISOString(),
      currency: 'EUR',
      revenue,
      units,
    })
    const batch = (from: bigint, to: bigint, ...deltas: LeaderboardDelta[]) => ({
      consumer,
      partition: 0,
      from,
      to,
      deltas,
    })
    const query = { board: 'products', by: 'revenue', window: 'all', at: now.toISOString(), currency: 'EUR' } as const
    const ranking = async (store: ReturnType<typeof storeOn>) =>
      (await store.top({ ...query, limit: 100_000 })).map(({ key, score }) => `${key} ${score}`)
    const keysOf = (space: string) => redis.run((client) => client.keys(`${space}*`))

    it('refuse, whole, a batch that takes a score to 2^53, and count exactly below it', async () => {
      const { store } = await open()
      const bound = 2n ** 53n - 1n
      await store.applyBatch(batch(0n, 1n, sold('a', bound - 1n)))
      await expect(store.applyBatch(batch(1n, 2n, sold('b', 5n), sold('a', 2n)))).rejects.toThrow(ScoreBeyondBound)
      await expect(store.applyBatch(batch(1n, 2n, sold('b', bound + 1n)))).rejects.toThrow('2^53')
      expect((await store.checkpoint(consumer, 0)).position).toBe(1n)
      expect(await ranking(store)).toEqual([`a ${bound - 1n}`])
      expect(await store.applyBatch(batch(1n, 2n, sold('a', 1n), sold('b', 5n)))).toBe('applied')
      expect(await ranking(store)).toEqual([`a ${bound}`, 'b 5'])
    })

    it('take a batch far larger than Lua hands to a function', async () => {
      const { store } = await open()
      const keys = Array.from({ length: 20_000 }, (_, n) => `p${String(n).padStart(5, '0')}`)
      expect(await store.applyBatch(batch(0n, 1n, ...keys.map((key) => sold(key, 7n, 2n))))).toBe('applied')
      const entries = await store.top({ ...query, limit: 100_000 })
      expect(entries.map((entry) => entry.key)).toEqual(keys)
      expect(new Set(entries.map(({ score, units, revenue }) => `${score} ${units} ${revenue}`))).toEqual(
        new Set(['7 2 7']),
      )
      expect(await store.applyBatch(batch(1n, 2n, ...keys.map((key) => sold(key, -7n, -2n))))).toBe('applied')
      expect(await ranking(store)).toEqual([])
    })

    it('order equal scores by the bytes of the key, whatever is in it', async () => {
      const { store } = await open()
      const keys = ['\u{1F600}', 'ä', 'a"b', 'a b', '\uD7FF', 'Z', '\uFFFD', 'a\u0000', 'a', '']
      await store.applyBatch(batch(0n, 1n, ...keys.map((key) => sold(key, 1n))))
      const byBytes = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect((await store.top({ ...query, limit: 100 })).map((entry) => entry.key)).toEqual(byBytes)
    })

    it('take an event that was gone past once, however often it comes late, and no other', async () => {
      const { store } = await open()
      await store.applyBatch({ ...batch(0n, 9n), skipped: [3n, 5n] })
      expect(await store.skipped(consumer)).toEqual([3n, 5n])
      let recorded = 0
      const late = {
        ...batch(9n, 9n, sold('a', 1n)),
        late: [3n],
        record: async () => {
          recorded += 1
        },
      }
      const outcomes = await Promise.all([store.applyBatch(late), store.applyBatch(late), store.applyBatch(late)])
      expect(outcomes.toSorted()).toEqual(['applied', 'fenced', 'fenced'])
      expect(await store.applyBatch({ ...late, late: [4n] })).toBe('fenced')
      expect([recorded, await store.skipped(consumer), await ranking(store)]).toEqual([1, [5n], ['a 1']])
    })

    it('leave nothing of a batch whose book-keeping fails or that is fenced', async () => {
      const { store } = await open()
      const failing = () => Promise.reject(new Error('the parking is full'))
      await expect(store.applyBatch({ ...batch(0n, 1n, sold('a', 1n)), record: failing })).rejects.toThrow('parking')
      expect(await store.applyBatch({ ...batch(5n, 6n), record: failing })).toBe('fenced')
      expect([(await store.checkpoint(consumer, 0)).position, await ranking(store)]).toEqual([0n, []])
    })

    it.each([
      ['everything', (space: string) => keysOf(space)],
      ['what the boards hang on', async (space: string) => [space]],
      [
        'one board',
        async (space: string) => (await keysOf(space)).filter((key) => key.includes('products:units::all')),
      ],
      ['the count of boards', async (space: string) => (await keysOf(space)).filter((key) => key.endsWith(':counts'))],
    ])('notice that %s is gone, are fenced, say so to who asks, and begin anew', async (_what, lost) => {
      const { namespace, space, store } = await open()
      await store.applyBatch(batch(0n, 1n, sold('a', 1n)))
      expect(await store.intact()).toBe(true)
      const gone = await lost(space)
      expect(gone.length).toBeGreaterThan(0)
      await redis.run((client) => client.del(...gone))
      expect(await store.intact()).toBe(false)
      expect(await store.applyBatch(batch(1n, 2n, sold('a', 1n)))).toBe('fenced')
      await expect(ranking(store)).rejects.toThrow('not in Redis')
      expect(await store.checkpoints(consumer)).toEqual([])

      const other = storeOn(namespace)
      let records = 0
      const anew = {
        head: 2n,
        record: async () => {
          records += 1
        },
      }
      await Promise.all([store.prepare(identity, anew), other.prepare(identity, anew)])
      expect(records).toBe(1)
      expect((await store.checkpoint(consumer, 0)).position).toBe(0n)
      expect(await store.applyBatch(batch(0n, 1n, sold('a', 1n)))).toBe('applied')
      await expect(ranking(other)).rejects.toThrow('being rebuilt')
      expect(await other.applyBatch(batch(1n, 2n, sold('a', 1n)))).toBe('applied')
      expect(await ranking(store)).toEqual(['a 2'])
      expect(await other.checkpoints(consumer)).toEqual([{ partition: 0, position: 2n, updatedAt: now.toISOString() }])
    })

    it('are shown when every partition of the feed has come to where the log ended, and not before', async () => {
      const namespace = `test-${randomUUID()}`
      namespaces.push(namespace)
      const store = storeOn(namespace, [1, 2])
      await store.prepare(identity, { head: 10n, record: async () => undefined })
      // The log as a whole, which the partitions have gone on from.
      await store.applyBatch({ ...batch(0n, 0n), to: seal(0n) })
      await store.applyBatch({ ...batch(0n, 10n, sold('a', 1n)), partition: 1 })
      await store.applyBatch({ ...batch(0n, 9n, sold('a', 1n)), partition: 2 })
      await expect(ranking(store)).rejects.toThrow('being rebuilt')
      await store.applyBatch({ ...batch(9n, 11n, sold('a', 1n)), partition: 2 })
      expect(await ranking(store)).toEqual(['a 3'])
      expect((await store.checkpoints(consumer)).map(({ partition, position }) => [partition, position])).toEqual([
        [1, 10n],
        [2, 11n],
      ])
    })

    it('begin anew when Redis is put back to a life that is over', async () => {
      const { space, store } = await open()
      await store.applyBatch(batch(0n, 7n, sold('old', 1n)))
      const dumps = await redis.run(async (client) =>
        Promise.all((await client.keys(`${space}*`)).map(async (key) => [key, await client.dumpBuffer(key)] as const)),
      )
      await store.reset(consumer)
      await redis.run(async (client) => {
        for (const [key, dump] of dumps) await client.restore(key, 0, dump, 'REPLACE')
      })
      expect(await store.intact()).toBe(false)
      await store.prepare(identity)
      expect((await store.checkpoint(consumer, 0)).position).toBe(0n)
      expect(await ranking(store)).toEqual([])
    })

    it('leave no key of a life that is over, and none of an hour that is', async () => {
      const { space, store } = await open()
      await store.applyBatch({ ...batch(0n, 1n, sold('a', 1n)), skipped: [1n] })
      await store.reset(consumer)
      expect(await keysOf(space)).toEqual([space])
    })

    it('keep every key of one batch in one slot of a cluster', async () => {
      const { space, store } = await open()
      await store.applyBatch({ ...batch(0n, 1n, sold('a', 1n)), skipped: [1n] })
      const keys = await keysOf(space)
      expect(keys.length).toBeGreaterThan(9)
      expect(keys.filter((key) => !key.startsWith('test-') || !key.includes(':{leaderboards:1}'))).toEqual([])
    })
  })
})
