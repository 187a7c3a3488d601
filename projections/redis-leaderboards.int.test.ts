import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger as logger } from '../platform/logging.ts'
import { openRedis, type RedisConnection } from '../platform/redis-connection.ts'
import { spaceOf } from '../platform/redis-leaderboard-keys.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import { eventually } from '../test/support/eventually.ts'
import { naiveBoards } from '../test/support/leaderboard-events.ts'
import { line, orderLife } from '../test/support/order-events.ts'
import { append, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { redisBoards } from '../test/support/redis-boards.ts'
import { hasRedisServer, type RedisServer, startRedisServer } from '../test/support/redis-server.ts'
import { createConsistencyWaiter } from './consistency.ts'
import { leaderboards } from './leaderboards.ts'
import { createParkedEvents } from './parked-events.ts'
import { rebuildFromZero } from './rebuild-from-zero.ts'

const namespace = 'orderlog'
const space = spaceOf(namespace, 1)
const day = '2026-03-01'
const clock = { now: () => new Date(`${day}T20:00:00.000Z`) }
const at = clock.now().toISOString()
const query = { board: 'products', by: 'units', window: 'all', at, limit: 10 } as const

describe.skipIf(!hasRedisServer)(
  `leaderboards in Redis${hasRedisServer ? '' : ' (left out: no redis-server here)'}`,
  () => {
    let server: RedisServer
    let rig: ProjectionRig
    let redis: RedisConnection
    beforeAll(async () => {
      server = await startRedisServer()
    })
    afterAll(() => server?.stop())
    beforeEach(async () => {
      rig = await openProjectionRig()
      redis = openRedis({ url: server.url, logger, timeoutMs: 2_000 })
    })
    afterEach(async () => {
      await rig?.close()
      redis?.close()
      await server.command('FLUSHALL')
    })

    const open = () => createRedisLeaderboardStore({ redis, database: rig.database, namespace, clock, logger })
    const start = (store = open()) => rig.start(leaderboards({ store }), { batchSize: 20, watchMs: 20 })

    let sold = 0
    const order = (units = 1, sku = `sku-${sold % 7}`) => {
      sold += 1
      return orderLife({ lines: [line(sku, units, 100 + (sold % 3))], customerId: `customer-${sold % 5}`, day })
    }
    /** Orders that are confirmed, every third of them cancelled afterwards. */
    const sell = async (orders: number): Promise<void> => {
      for (let n = 0; n < orders; n += 1) {
        const life = order()
        await append(rig.store, life.confirmed, ...(n % 3 === 0 ? [life.cancelled(true)] : []))
      }
    }
    /** While `fault` happens, and until it has, orders go on. */
    const sellingDuring = async (fault: () => Promise<unknown>): Promise<void> => {
      let over = false
      const selling = (async () => {
        while (!over) await sell(3)
      })()
      try {
        await fault()
      } finally {
        over = true
        await selling
      }
    }
    /** The boards equal a naive fold of the log. */
    const equalTheFold = async (): Promise<void> => {
      const expected = [...naiveBoards(await rig.history())]
      const found = await eventually(
        async () => [...(await redisBoards(redis, space))],
        (boards) => boards.length === expected.length && boards.join() === expected.join(),
        { what: 'the boards equal to the fold of the log' },
      )
      expect(found).toEqual(expected)
      expect(found.length).toBeGreaterThan(20)
    }

    test('follow the log, also by two projectors that do not know of each other', async () => {
      await sell(30)
      const projectors = [start(), start()]
      await sell(30)
      await equalTheFold()
      for (const projector of projectors) await projector.stop()
    })

    test('survive a Redis that is killed under load and started again', async () => {
      const projector = start()
      await sell(10)
      await projector.caughtUp()
      await sellingDuring(async () => {
        await server.kill()
        await eventually(
          async () => projector.status(),
          (status) => status.state === 'waiting' && /Redis/.test(status.error ?? ''),
          { what: 'the projection saying that it waits for Redis' },
        )
        await server.start()
        await projector.caughtUp()
      })
      await projector.caughtUp()
      await equalTheFold()
    })

    test('survive a Redis that hangs, and say so meanwhile', async () => {
      const store = open()
      const projector = start(store)
      await sell(10)
      await projector.caughtUp()
      await sellingDuring(async () => {
        server.pause()
        try {
          await eventually(
            async () => projector.status(),
            (status) => status.state === 'waiting' && /Redis/.test(status.error ?? ''),
            { what: 'the projection saying that it waits for Redis' },
          )
          await expect(store.top(query)).rejects.toThrow('Redis is unavailable')
        } finally {
          server.resume()
        }
        await projector.caughtUp()
      })
      await projector.caughtUp()
      await equalTheFold()
    })

    test('are rebuilt by themselves when Redis is flushed under load', async () => {
      const projector = start()
      await sell(20)
      await projector.caughtUp()
      await sellingDuring(async () => {
        const epoch = await server.command('HGET', space, 'epoch')
        await server.command('FLUSHALL')
        await eventually(
          () => server.command('HGET', space, 'epoch'),
          (now) => now !== null && now !== epoch,
          { what: 'a new epoch' },
        )
      })
      await projector.caughtUp()
      await equalTheFold()
    })

    test.each([
      ['everything', 'FLUSHALL', ''],
      ['one board', 'DEL', 'products:units::all:1970-01-01T00:00:00Z'],
    ])('are rebuilt by themselves when %s is lost while nothing happens', async (_what, command, board) => {
      const projector = start()
      await sell(20)
      await projector.caughtUp()
      const epoch = await server.command('HGET', space, 'epoch')
      await server.command(command, ...(board === '' ? [] : [`${space}:${epoch}:${board}`]))
      await equalTheFold()
      expect(await server.command('HGET', space, 'epoch')).not.toBe(epoch)
    })

    test('are not shown half-built: who asks is told, and a consistency token waits for Redis', async () => {
      await sell(20)
      const reader = open()
      const waiter = createConsistencyWaiter({ database: rig.database, logger, elsewhere: { leaderboards: reader } })
      await expect(reader.top(query)).rejects.toMatchObject({ name: 'ReadModelAbsent' })
      expect(await waiter.waitFor(['leaderboards'], 1n, 30)).toBe(false)

      const store = open()
      const { sink } = leaderboards({ store })
      await sink.prepare(await rig.store.identity(), { head: await rig.store.head(), record: async () => undefined })
      await expect(reader.top(query)).rejects.toMatchObject({ name: 'ReadModelAbsent' })

      const projector = start(store)
      expect(await waiter.waitFor(['leaderboards'], await rig.store.head(), 90_000)).toBe(true)
      expect((await reader.top(query)).length).toBe(7)
      await projector.stop()
      await sell(1)
      expect(await waiter.waitFor(['leaderboards'], await rig.store.head(), 30)).toBe(false)
      await server.command('FLUSHALL')
      expect(await waiter.waitFor(['leaderboards'], 1n, 30)).toBe(false)
      await expect(reader.currencies(query)).rejects.toMatchObject({ name: 'ReadModelAbsent' })
    })

    /** A sale that would take a score to 2^53, and what makes room for it. */
    const tooMuch = () => {
      const sale = (...lines: ReturnType<typeof line>[]) => orderLife({ lines, customerId: 'midas', day })
      const great = Array.from({ length: 9 }, () =>
        sale(...Array.from({ length: 100 }, () => line('gold', 10_000, 1e9))),
      )
      // 9e15 so far; with these the score is 2^53 - 1.
      const last = sale(line('gold', 10_000, 719_925_474), line('gold', 1, 991))
      return { first: [...great, last], last, second: sale(line('gold', 1, 1)) }
    }

    test('park a sale that would pass 2^53, visibly; retried when there is room it counts once', async () => {
      const store = open()
      const projector = start(store)
      const { first, last, second } = tooMuch()
      await append(rig.store, ...first.map((sale) => sale.confirmed), second.confirmed, order(3, 'tin').confirmed)
      await projector.caughtUp()
      expect(projector.status()).toMatchObject({ state: 'live', parkedEvents: 1 })
      const parkedEvents = createParkedEvents({
        database: rig.database,
        projections: [leaderboards({ store })],
        logger,
        log: rig.store,
      })
      const units = async () => (await store.top(query)).map((entry) => `${entry.key} ${entry.units}`)
      const [parked] = await parkedEvents.list({ limit: 10 })
      expect(parked).toMatchObject({ stream: `order-${second.orderId}`, status: 'failed' })
      expect(parked?.error).toContain('2^53')
      expect(await units()).toEqual(['gold 9010001', 'tin 3'])

      const retry = () =>
        parkedEvents.retry('leaderboards', `order-${second.orderId}`, { operator: 'ada', reason: 'room was made' })
      expect(await retry()).toEqual({ applied: 0, parked: 1 })
      await append(rig.store, last.cancelled(true))
      await projector.caughtUp()
      const outcomes = await Promise.all([retry(), retry(), retry()])
      expect(outcomes.filter((outcome) => outcome?.parked === 0).length).toBeGreaterThan(0)
      expect(await units()).toEqual(['gold 9000001', 'tin 3'])
      expect([await store.skipped('leaderboards'), await parkedEvents.list({ limit: 10 })]).toEqual([[], []])
    })

    test('go without a sale that was discarded, and do not wait for it any more', async () => {
      const store = open()
      const projector = start(store)
      const { first, last, second } = tooMuch()
      await append(rig.store, ...first.map((sale) => sale.confirmed), second.confirmed)
      await projector.caughtUp()
      const parkedEvents = createParkedEvents({
        ...{ database: rig.database, logger, log: rig.store },
        projections: [leaderboards({ store })],
      })
      const who = { operator: 'ada', reason: 'a sale of a test' }
      const stream = `order-${second.orderId}`
      expect(await store.skipped('leaderboards')).toHaveLength(1)
      expect(await parkedEvents.discard('leaderboards', stream, 0n, who)).toBe(0)
      expect([await store.skipped('leaderboards'), await parkedEvents.list({ limit: 10 })]).toEqual([[], []])
      await append(rig.store, last.cancelled(true), order(3, 'tin').confirmed)
      await projector.caughtUp()
      const units = async () => (await store.top(query)).map((entry) => `${entry.key} ${entry.units}`)
      expect(await units()).toEqual(['gold 9000000', 'tin 3'])
      const epoch = await server.command('HGET', space, 'epoch')
      await projector.stop()
      // Whoever enters finds nothing missing, and begins nothing anew.
      const again = start(store)
      await again.caughtUp()
      expect(await server.command('HGET', space, 'epoch')).toBe(epoch)
      await again.stop()
      // There would be room for it now: the decision holds all the same.
      await rebuildFromZero(rig.store, leaderboards({ store }))
      await start(store).caughtUp()
      expect(await units()).toEqual(['gold 9000000', 'tin 3'])
    })

    test('take a sale in the form that an operator gave it, once', async () => {
      const store = open()
      const projector = start(store)
      const { first, second } = tooMuch()
      await append(rig.store, ...first.map((sale) => sale.confirmed), second.confirmed)
      await projector.caughtUp()
      const parkedEvents = createParkedEvents({
        ...{ database: rig.database, logger, log: rig.store },
        projections: [leaderboards({ store })],
      })
      const who = { operator: 'ada', reason: 'it was given away' }
      const free = { amount: 0, currency: 'EUR' }
      const { data } = second.confirmed
      const lines = data.lines.map((each) => ({ ...each, sku: 'silver', unitPrice: { amount: 1, currency: 'EUR' } }))
      const stream = `order-${second.orderId}`
      await parkedEvents.edit('leaderboards', stream, 0n, { ...who, data: { ...data, lines, total: free } })
      expect(await parkedEvents.retry('leaderboards', stream, who)).toEqual({ applied: 1, parked: 0 })
      expect(await store.skipped('leaderboards')).toEqual([])
      expect((await store.top(query)).map((entry) => entry.key)).toEqual(['gold', 'silver'])
    })

    test('are rebuilt when Redis is put back to before an event came late', async () => {
      const store = open()
      const projector = start(store)
      const { first, last, second } = tooMuch()
      await append(rig.store, ...first.map((sale) => sale.confirmed), second.confirmed)
      await projector.caughtUp()
      await append(rig.store, last.cancelled(true))
      await sell(20)
      await projector.caughtUp()
      const dumps = await redis.run(async (client) =>
        Promise.all((await client.keys('*')).map(async (key) => [key, await client.dumpBuffer(key)] as const)),
      )
      const parkedEvents = createParkedEvents({
        database: rig.database,
        projections: [leaderboards({ store })],
        logger,
        log: rig.store,
      })
      const who = { operator: 'ada', reason: 'room was made' }
      expect(await parkedEvents.retry('leaderboards', `order-${second.orderId}`, who)).toEqual({
        applied: 1,
        parked: 0,
      })
      await projector.stop()
      await redis.run(async (client) => {
        await client.flushall()
        for (const [key, dump] of dumps) await client.restore(key, 0, dump)
      })
      start(store)
      // All of it in one batch now: there is room, and nothing is parked.
      await equalTheFold()
    })

    test('go on from an older state that Redis was put back to, while they run', async () => {
      const projector = start()
      await sell(20)
      await projector.caughtUp()
      const dumps = await redis.run(async (client) =>
        Promise.all((await client.keys('*')).map(async (key) => [key, await client.dumpBuffer(key)] as const)),
      )
      const epoch = await server.command('HGET', space, 'epoch')
      await sell(20)
      await projector.caughtUp()
      await redis.run(async (client) => {
        const pipeline = client.multi().flushall()
        for (const [key, dump] of dumps) pipeline.restore(key, 0, dump)
        await pipeline.exec()
      })
      await equalTheFold()
      expect(await server.command('HGET', space, 'epoch')).toBe(epoch)
    })

    test('need no more rights in Redis than the docs name', async () => {
      const rights = ['+@read', '+@write', '+@scripting', '+info', '+ping', '+select', '+client']
      await server.command('ACL', 'SETUSER', 'orderlog', 'reset', 'on', '>secret', '~orderlog:*', ...rights)
      const limited = openRedis({ url: server.url.replace('//', '//orderlog:secret@'), logger })
      try {
        const { database } = rig
        const store = createRedisLeaderboardStore({ redis: limited, database, namespace, clock, logger })
        await sell(10)
        const projector = start(store)
        await projector.caughtUp()
        await equalTheFold()
        expect((await store.top(query)).length).toBeGreaterThan(0)
        expect(await limited.run((client) => client.ping())).toBe('PONG')
        await rebuildFromZero(rig.store, leaderboards({ store }))
        await equalTheFold()
      } finally {
        limited.close()
        await server.command('ACL', 'DELUSER', 'orderlog')
      }
    })

    test('a rebuild empties them at once, and leaves nothing of before', async () => {
      const store = open()
      const projector = start(store)
      await sell(10)
      await projector.caughtUp()
      await rebuildFromZero(rig.store, leaderboards({ store }))
      await equalTheFold()
      expect(await redis.run((client) => client.smembers(`${space}:garbage`))).toEqual([])
    })
  },
)
