import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { type LeaderboardDelta, scoreChanges } from '../../platform/leaderboard-store.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { openRedis } from '../../platform/redis-connection.ts'
import { boardName } from '../../platform/redis-leaderboard-keys.ts'
import { createRedisLeaderboardStore } from '../../platform/redis-leaderboard-store.ts'
import { hasRedisServer, startRedisServer } from '../../test/support/redis-server.ts'
import type { Contender, Row } from '../contender.ts'
import { openOurs } from '../ours.ts'

const now = new Date('2026-11-21T23:00:00.000Z')
const ordersPerBatch = 500

/** Confirmed orders of two lines each over a day: 5,000 products, of which few sell much, and 20,000 customers. */
const salesOf = (batch: number): LeaderboardDelta[] =>
  Array.from({ length: ordersPerBatch }, (_, index) => batch * ordersPerBatch + index).flatMap((order) => {
    const at = new Date(now.getTime() - ((order * 7_919) % 86_400) * 1_000).toISOString()
    const sale = { at, currency: 'EUR' }
    const sku = (n: number) => `SKU-${Math.floor(((n * 2_654_435_761) % 1_000) ** 2 / 200)}`
    const [one, other] = [sku(order), sku(order + 77)]
    return [
      { ...sale, board: 'products', key: one, revenue: 1_999n, units: 1n },
      { ...sale, board: 'products', key: other, revenue: 998n, units: 2n },
      { ...sale, board: 'customers', key: `customer-${(order * 31) % 20_000}`, revenue: 2_997n, units: 3n },
    ] satisfies LeaderboardDelta[]
  })

/** Batches of a round, each with the members that it changes. */
const batchesOf = (members: number): { deltas: LeaderboardDelta[]; changes: ReturnType<typeof scoreChanges> }[] => {
  const batches: ReturnType<typeof batchesOf> = []
  for (let done = 0; done < members; ) {
    const deltas = salesOf(batches.length)
    const changes = scoreChanges(deltas, now)
    batches.push({ deltas, changes })
    done += changes.length
  }
  return batches
}

const inTurn = async <Batch extends { readonly changes: readonly unknown[] }>(
  batches: readonly Batch[],
  apply: (batch: Batch) => Promise<unknown>,
) => {
  const latenciesMs: number[] = []
  const begun = performance.now()
  for (const batch of batches) {
    const start = performance.now()
    await apply(batch)
    latenciesMs.push(performance.now() - start)
  }
  const seconds = (performance.now() - begun) / 1_000
  return { done: batches.reduce((sum, { changes }) => sum + changes.length, 0), seconds, latenciesMs }
}

const members = 300_000

const ours: Contender = {
  count: members,
  open: async (bench) => {
    const redisServer = await startRedisServer()
    const { database, close } = await openOurs(bench)
    const redis = openRedis({ url: redisServer.url, logger })
    const store = createRedisLeaderboardStore({
      redis,
      database,
      namespace: 'orderlog',
      clock: { now: () => now },
      logger,
    })
    await store.prepare(randomUUID())
    let position = 0n
    return {
      run: (count) =>
        inTurn(batchesOf(count), async ({ deltas }) => {
          const batch = { consumer: 'leaderboards', partition: 0, from: position, to: position + 1n, deltas }
          if ((await store.applyBatch(batch)) !== 'applied') throw new Error('the batch was fenced')
          position += 1n
        }),
      close: async () => {
        redis.close()
        await close()
        await redisServer.stop()
      },
    }
  },
}

const raw: Contender = {
  count: members,
  open: async () => {
    const redisServer = await startRedisServer()
    const client = new Redis(redisServer.url)
    return {
      run: (count) =>
        inTurn(batchesOf(count), async ({ changes }) => {
          const pipeline = client.pipeline()
          for (const change of changes) pipeline.zincrby(boardName(change), Number(change.change), change.key)
          await pipeline.exec()
        }),
      close: async () => {
        client.disconnect()
        await redisServer.stop()
      },
    }
  },
}

export const redisBoard: Row = {
  name: 'redis-board',
  unit: 'members/s',
  compares:
    `batches of ${ordersPerBatch} confirmed orders, one after the other: ours: applyBatch of the leaderboards in Redis ` +
    '(sums the sales, one script: scores, checkpoint, fence, bound), p50/p99 per batch; raw: one pipeline of ZINCRBY ' +
    'per batch for the same members, summed beforehand. Each on a Redis of its own, append-only. Goal: half of raw.',
  skipped: hasRedisServer ? undefined : 'there is no redis-server on this machine',
  ours,
  raw,
}
