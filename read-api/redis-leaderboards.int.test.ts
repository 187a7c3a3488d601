import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { formatConsistencyToken } from '../platform/consistency-token.ts'
import type { LeaderboardDelta, LeaderboardStore } from '../platform/leaderboard-store.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openRedis, type RedisConnection } from '../platform/redis-connection.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import { createConsistencyWaiter } from '../projections/consistency.ts'
import { ask } from '../test/support/ask.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'
import { hasRedisServer, type RedisServer, startRedisServer } from '../test/support/redis-server.ts'

const consumer = 'leaderboards'
const path = '/v1/leaderboards/products?by=units'

describe.skipIf(!hasRedisServer)(`boards in Redis${hasRedisServer ? '' : ' (left out: no redis-server here)'}`, () => {
  let server: RedisServer
  let books: TestDatabase
  let redis: RedisConnection
  let store: LeaderboardStore
  let side: ReadSide
  beforeAll(async () => {
    server = await startRedisServer()
    books = await openTestDatabase()
    redis = openRedis({ url: server.url, logger, timeoutMs: 2_000 })
    const { database } = books
    const open = () =>
      createRedisLeaderboardStore({ redis, database, namespace: 'orderlog', clock: systemClock, logger })
    store = open()
    const asking = open()
    const elsewhere = { leaderboards: asking }
    side = await openReadSide({
      projecting: false,
      deps: {
        leaderboards: asking,
        checkpointsElsewhere: elsewhere,
        consistency: createConsistencyWaiter({ database, logger, elsewhere }),
      },
    })
    await side.database.query("insert into platform.projections (name, version) values ('leaderboards', 1)")
  })
  afterAll(async () => {
    await side?.close()
    redis?.close()
    await books?.drop()
    await server?.stop()
  })
  const sold: LeaderboardDelta = {
    board: 'customers',
    key: 'ada',
    at: new Date().toISOString(),
    currency: 'EUR',
    revenue: 5n,
    units: 1n,
  }
  const customers = '/v1/leaderboards/customers?by=units'
  const apply = (from: bigint, to: bigint) => store.applyBatch({ consumer, partition: 0, from, to, deltas: [sold] })

  test('that were never built, or are being built, are a 503 that says so, never an empty board', async () => {
    expect((await ask(side, path)).body).toMatchObject({ status: 503, code: 'read-model-absent' })
    await store.prepare(await side.store.identity(), { head: 2n, record: async () => undefined })
    await apply(0n, 1n)
    expect((await ask(side, customers)).body).toMatchObject({ status: 503, code: 'read-model-absent' })
    await apply(1n, 2n)
    expect((await ask(side, customers)).body).toMatchObject({ places: [{ rank: 1, key: 'ada', units: 2 }] })
  })

  test('are current when the checkpoint in Redis has reached the token, and stale when it has not', async () => {
    const at = async (position: bigint) => ({
      'Consistency-Token': formatConsistencyToken(await side.store.identity(), position),
    })
    expect((await ask(side, `${customers}&waitMs=1000`, await at(2n))).headers.get('consistency')).toBe('current')
    expect((await ask(side, `${customers}&waitMs=1`, await at(3n))).headers.get('consistency')).toBe('stale')
    const waiting = ask(side, `${customers}&waitMs=10000`, await at(3n))
    await apply(2n, 3n)
    const { headers, body } = await waiting
    expect([headers.get('consistency'), body.places]).toMatchObject(['current', [{ key: 'ada', units: 3 }]])
  })

  test('have their checkpoints among the projections, and are unavailable, in so many words, without Redis', async () => {
    const leaderboards = async () => {
      const { body } = await ask(side, '/v1/projections')
      return (body.projections as { name: string }[]).find(({ name }) => name === 'leaderboards')
    }
    expect(await leaderboards()).toMatchObject({ partitions: [{ partition: 0, position: '3' }] })
    await server.kill()
    expect((await ask(side, customers)).body).toMatchObject({ status: 503, code: 'engine-unavailable' })
    expect(await leaderboards()).toMatchObject({ partitions: [], error: 'Redis does not answer' })
  })
})
