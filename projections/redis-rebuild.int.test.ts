import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger as logger } from '../platform/logging.ts'
import { openRedis, type RedisConnection } from '../platform/redis-connection.ts'
import { spaceOf } from '../platform/redis-leaderboard-keys.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import { eventually } from '../test/support/eventually.ts'
import { naiveBoards } from '../test/support/leaderboard-events.ts'
import { line, orderLife } from '../test/support/order-events.ts'
import { append, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { interposed, openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { redisBoards } from '../test/support/redis-boards.ts'
import { hasRedisServer, type RedisServer, startRedisServer } from '../test/support/redis-server.ts'
import { leaderboards } from './leaderboards.ts'
import { createParkedEvents } from './parked-events.ts'

const namespace = 'orderlog'
const day = '2026-03-01'
const clock = { now: () => new Date(`${day}T20:00:00.000Z`) }
const everyCustomer = { board: 'customers', by: 'units', window: 'all', at: clock.now().toISOString() } as const

describe.skipIf(!hasRedisServer)(
  `rebuilds of the leaderboards in Redis${hasRedisServer ? '' : ' (left out: no redis-server here)'}`,
  () => {
    let server: RedisServer
    let rig: ProjectionRig
    let redis: RedisConnection
    let rebuilds: RebuildRig
    beforeAll(async () => {
      server = await startRedisServer()
    })
    afterAll(() => server?.stop())
    beforeEach(async () => {
      rig = await openProjectionRig()
      redis = openRedis({ url: server.url, logger, timeoutMs: 2_000 })
      rebuilds = openRebuildRig(rig, [leaderboards({ store: open() })])
    })
    afterEach(async () => {
      await rebuilds?.close()
      await rig?.close()
      redis?.close()
      await server.command('FLUSHALL')
    })

    /** As another process has it. */
    const open = () => createRedisLeaderboardStore({ redis, database: rig.database, namespace, clock, logger })
    const start = () => rig.start(leaderboards({ store: open() }), { batchSize: 20, watchMs: 20 })
    /** Orders of one unit each. */
    const sell = async (orders: number): Promise<void> => {
      for (let n = 0; n < orders; n += 1)
        await append(
          rig.store,
          orderLife({ lines: [line(`sku-${n % 7}`, 1, 100)], customerId: `customer-${n % 5}`, day }).confirmed,
        )
    }
    const equalsTheFold = async (generation: number): Promise<void> => {
      const boards = await redisBoards(redis, spaceOf(namespace, generation))
      expect([...boards]).toEqual([...naiveBoards(await rig.history())])
      expect(boards.size).toBeGreaterThan(20)
    }
    const rebuilt = async (generation: number): Promise<void> => {
      await rebuilds.service.start(['leaderboards'], operator)
      await eventually(
        () => rebuilds.last('leaderboards'),
        (rebuild) => rebuild.generation === generation && rebuild.state === 'done',
        { what: `generation ${generation} being live` },
      )
    }

    test('while sales go on, nobody sees a gap or less than a token promised, and the new boards equal the log', async () => {
      await sell(60)
      const projector = start()
      await projector.caughtUp()
      let over = false
      const selling = (async () => {
        while (!over) await sell(1)
      })()
      const reader = open()
      let reads = 0
      const reading = (async () => {
        for (let before = 0n; !over; reads += 1) {
          const [checkpoint] = await reader.checkpoints('leaderboards')
          const [sold] = await rig.rows<{ units: bigint }>(
            "select count(*) as units from log.events where position <= $1 and type like 'order.confirmed%'",
            [checkpoint?.position ?? 0n],
          )
          const shown = (await reader.top({ ...everyCustomer, limit: 10 })).reduce((sum, { units }) => sum + units, 0n)
          if (!checkpoint || !sold || shown < sold.units || shown < before)
            throw new Error(`${shown} units shown, ${sold?.units} promised, ${before} shown before`)
          before = shown
        }
      })()
      reading.catch(() => undefined)
      rebuilds.startRebuilder()
      try {
        for (let generation = 2; generation <= 4; generation += 1) await rebuilt(generation)
      } finally {
        over = true
        await selling
      }
      await reading
      expect(reads).toBeGreaterThan(10)
      await projector.caughtUp()
      await equalsTheFold(4)
      expect((await reader.checkpoints('leaderboards'))[0]?.position).toBe(await rig.store.head())
    })

    test('one that dies in any phase is taken up where it stood', async () => {
      await sell(60)
      const projector = start()
      await projector.caughtUp()
      await rebuilds.service.start(['leaderboards'], operator)
      for (let tries = 0; tries < 40; tries += 1) {
        const before = await rebuilds.last('leaderboards')
        if (before.state === 'done') break
        const { stop } = rebuilds.startRebuilder({ pollMs: 5 })
        await eventually(
          () => rebuilds.last('leaderboards'),
          (now) => now.phase !== before.phase || now.position > before.position || now.state === 'done',
          { everyMs: 1 },
        )
        await stop()
      }
      await rebuilds.comes('leaderboards', 'done')
      await sell(3)
      await projector.caughtUp()
      await equalsTheFold(2)
    })

    test('one ends right when Redis is emptied while it is built', async () => {
      await sell(60)
      const projector = start()
      await projector.caughtUp()
      let emptied = false
      rebuilds.startRebuilder({
        verify: async () => {
          if (!emptied) await server.command('FLUSHALL')
          emptied = true
          return undefined
        },
      })
      await rebuilt(2)
      await sell(3)
      await projector.caughtUp()
      await equalsTheFold(2)
    })

    test('a Redis that is put back to before the swap follows PostgreSQL to the one that is live', async () => {
      await sell(60)
      const projector = start()
      await projector.caughtUp()
      let dumps: (readonly [string, Buffer])[] = []
      rebuilds.startRebuilder({
        verify: async () => {
          dumps = await redis.run(async (client) =>
            Promise.all((await client.keys('*')).map(async (key) => [key, await client.dumpBuffer(key)] as const)),
          )
          return undefined
        },
      })
      await rebuilt(2)
      await projector.caughtUp()
      await redis.run(async (client) => {
        const pipeline = client.multi().flushall()
        for (const [key, dump] of dumps) pipeline.restore(key, 0, dump)
        await pipeline.exec()
      })
      await sell(3)
      await eventually(
        async () => [...(await redisBoards(redis, spaceOf(namespace, 2)))],
        (boards) => boards.length > 20,
        { what: 'the boards of generation 2' },
      )
      await projector.caughtUp()
      await eventually(
        () => equalsTheFold(2).then(() => true),
        () => true,
        { what: 'generation 2 equal to the log' },
      )
      const shown = await open().top({ ...everyCustomer, limit: 10 })
      expect(shown.reduce((sum, { units }) => sum + units, 0n)).toBe(63n)
      expect(await redis.run((client) => client.hget(spaceOf(namespace, 1), 'state'))).toBe('kept')
    })

    test('the generation that was live before comes back, and what is dropped leaves no key', async () => {
      await sell(30)
      const projector = start()
      await projector.caughtUp()
      rebuilds.startRebuilder()
      await rebuilt(2)
      await sell(10)
      await projector.caughtUp()
      await rebuilds.service.swapBack('leaderboards', operator)
      await eventually(
        () => rebuilds.last('leaderboards'),
        (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
        { what: 'generation 1 being live again' },
      )
      await sell(3)
      await projector.caughtUp()
      await equalsTheFold(1)
      await rebuilds.service.drop('leaderboards', 2, operator)
      expect(await redis.run((client) => client.keys(`${spaceOf(namespace, 2)}*`))).toEqual([])
    })

    test.each(['it is verified', 'it is about to be swapped in'])(
      'what is discarded or retried while %s is waited for no more in the new boards, and counts as live',
      async (moment) => {
        const sale = (...lines: ReturnType<typeof line>[]) => orderLife({ lines, customerId: 'midas', day })
        const great = Array.from({ length: 9 }, () =>
          sale(...Array.from({ length: 100 }, () => line('gold', 10_000, 1e9))),
        )
        // With these the score is 2^53 - 1, and nothing fits on top.
        const last = sale(line('gold', 10_000, 719_925_474), line('gold', 1, 991))
        const [discarded, retried] = [sale(line('gold', 1, 1)), sale(line('gold', 2, 1))]
        await append(rig.store, ...[...great, last, discarded, retried].map((life) => life.confirmed))
        const projector = start()
        await projector.caughtUp()
        let decided = false
        const decideWhile = async (now: string): Promise<void> => {
          if (decided || now !== moment) return
          decided = true
          await append(rig.store, last.cancelled(true))
          await projector.caughtUp()
          const projections = [leaderboards({ store: open() })]
          const parkedEvents = createParkedEvents({ database: rig.database, projections, logger, log: rig.store })
          expect(await parkedEvents.discard('leaderboards', `order-${discarded.orderId}`, 0n, operator)).toBe(0)
          expect(await parkedEvents.retry('leaderboards', `order-${retried.orderId}`, operator)).toEqual({
            applied: 1,
            parked: 0,
          })
        }
        const mine = openRebuildRig(rig, [
          interposed(leaderboards({ store: open() }), async (change) => {
            await decideWhile('it is about to be swapped in')
            return change
          }),
        ])
        try {
          mine.startRebuilder({
            verify: async () => {
              await decideWhile('it is verified')
              return undefined
            },
          })
          await mine.service.start(['leaderboards'], operator)
          expect((await mine.comes('leaderboards', 'done')).generation).toBe(2)
        } finally {
          await mine.close()
        }
        const built = open()
        await built.prepare(await rig.store.identity())
        expect(await built.skipped('leaderboards')).toEqual([])
        const query = {
          board: 'products',
          by: 'units',
          window: 'all',
          at: clock.now().toISOString(),
          limit: 9,
        } as const
        expect((await built.top(query)).map(({ key, units }) => [key, units])).toEqual([['gold', 9_000_002n]])
        expect(await rig.rows("select stream from platform.parked_events where projection = 'leaderboards'")).toEqual(
          [],
        )
      },
    )
  },
)
