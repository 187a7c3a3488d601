import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openRedis } from '../platform/redis-connection.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import { elasticsearchUrl, openTestSearchIndex, skippedWithoutElasticsearch } from '../test/support/elasticsearch.ts'
import { eventually } from '../test/support/eventually.ts'
import { type HangingProxy, openHangingProxy } from '../test/support/hanging-proxy.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig, secondPool } from '../test/support/rebuild-rig.ts'
import { hasRedisServer, startRedisServer } from '../test/support/redis-server.ts'
import { leaderboards } from './leaderboards.ts'
import { orderDetails } from './order-details.ts'
import { orderSearch } from './order-search.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection, SinkBatch } from './projection.ts'

/** The first failure that is an event's fault would park it. */
const policy = { maxAttempts: 1, waitMs: () => 20, lookAgainMs: 20 }
const day = '2026-03-01'

interface Engine {
  /** Where it is; the sink goes there by the way that is cut. */
  readonly url: string
  /** @param within called while a stretch is applied, as deep within as can be */
  through(url: string, within: () => Promise<void>): { readonly projection: Projection; close(): Promise<void> }
  /** How many of these orders can be seen. */
  shown(orderIds: readonly string[]): Promise<number>
  close(): Promise<void>
}

const around = (projection: Projection, before: () => Promise<void>): Projection => {
  const { sink, generations } = projection
  const wrapped = <Sink extends Projection['sink']>(inner: Sink): Sink => ({
    ...inner,
    apply: async (batch: SinkBatch) => {
      if (batch.events.length > 0) await before()
      return inner.apply(batch)
    },
  })
  return {
    ...projection,
    sink: wrapped(sink),
    generations: generations && { ...generations, at: (generation) => wrapped(generations.at(generation)) },
  }
}

const postgres = async (rig: ProjectionRig): Promise<Engine> => ({
  url: rig.url,
  through: (url, within) => {
    const far = secondPool(url)
    const definition = orderDetails(createTestVault())
    const projection = createPostgresProjection(far, {
      ...definition,
      apply: async (...what) => {
        await definition.apply(...what)
        await within()
      },
    })
    return { projection, close: () => far.close() }
  },
  shown: async (orderIds) =>
    (await rig.rows('select 1 from order_details.orders where order_id = any ($1::uuid[])', [orderIds])).length,
  close: async () => undefined,
})

const redis = async ({ database }: ProjectionRig): Promise<Engine> => {
  const server = await startRedisServer()
  const clock = { now: () => new Date(`${day}T20:00:00.000Z`) }
  const connect = (url: string) => {
    const connection = openRedis({ url, logger, timeoutMs: 5_000 })
    const store = createRedisLeaderboardStore({ redis: connection, database, namespace: 'orderlog', clock, logger })
    return { connection, store }
  }
  const near = connect(server.url)
  return {
    url: server.url,
    through: (url, within) => {
      const { connection, store } = connect(url)
      return { projection: around(leaderboards({ store }), within), close: async () => connection.close() }
    },
    shown: async () => {
      const at = systemClock.now().toISOString()
      const top = await near.store.top({ board: 'customers', by: 'units', window: 'all', at, limit: 10 })
      // Two units each.
      return Number(top.reduce((sum, { units }) => sum + units, 0n)) / 2
    },
    close: async () => {
      near.connection.close()
      await server.stop()
    },
  }
}

const elasticsearch = async ({ database }: ProjectionRig): Promise<Engine> => {
  const test = await openTestSearchIndex(database)
  return {
    url: elasticsearchUrl,
    through: (url, within) => {
      const { engine, index } = test.through(url)
      const projection = around(orderSearch({ index: index.orders, vault: createTestVault() }), within)
      return { projection, close: () => engine.close() }
    },
    shown: async (orderIds) => (await test.index.orders.load(orderIds)).size,
    close: () => test.close(),
  }
}

describe.each([
  { engine: 'PostgreSQL', open: postgres, missing: undefined },
  { engine: 'Redis', open: redis, missing: hasRedisServer ? undefined : 'left out: no redis-server here' },
  {
    ...{ engine: 'Elasticsearch', open: elasticsearch },
    missing: elasticsearchUrl ? undefined : skippedWithoutElasticsearch,
  },
])('while $engine is away nothing is parked (missing: $missing)', ({ engine, open, missing }) => {
  describe.skipIf(missing)('and the projection goes on when it is back', () => {
    let rig: ProjectionRig
    let target: Engine
    let proxy: HangingProxy
    let sink: ReturnType<Engine['through']>
    let projection: Projection
    let rebuilds: RebuildRig
    let orders: string[]
    let tries: number
    let goesAway: boolean
    beforeEach(async () => {
      ;[orders, tries, goesAway] = [[], 0, false]
      rig = await openProjectionRig()
      target = await open(rig)
      proxy = await openHangingProxy(target.url)
      sink = target.through(proxy.url, async () => {
        if (!goesAway) return
        goesAway = false
        tries = 0
        await proxy.close()
      })
      projection = around(sink.projection, async () => {
        tries += 1
      })
      rebuilds = openRebuildRig(rig, [projection])
    })
    afterEach(async () => {
      await rebuilds?.close()
      await rig?.close()
      await sink?.close()
      await proxy?.close()
      await target?.close()
    })

    const sell = async (count: number): Promise<void> => {
      const lives = Array.from({ length: count }, () => orderLife({ day }))
      orders.push(...lives.map(({ orderId }) => orderId))
      await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
    }
    const start = () => rig.start(projection, { policy, watchMs: 50 })
    const isTriedAgain = () =>
      eventually(
        async () => tries,
        (count) => !goesAway && count >= 4,
        { what: 'several tries' },
      )
    const comesBack = async () => {
      proxy = await openHangingProxy(target.url, Number(new URL(proxy.url).port))
    }
    const areShown = (count: number) =>
      eventually(
        () => target.shown(orders),
        (shown) => shown === count,
        { what: `${count} orders` },
      )
    const parked = () => rig.rows('select projection, error from platform.parked_events')

    it('live', async () => {
      const projector = start()
      await sell(3)
      await projector.caughtUp()
      goesAway = true
      await sell(3)
      await isTriedAgain()
      expect(projector.status()).toMatchObject({ state: 'waiting', error: expect.stringContaining(engine) })
      expect(await parked()).toEqual([])
      await comesBack()
      await projector.caughtUp()
      await areShown(6)
      expect(await parked()).toEqual([])
    })

    it('in a rebuild', async () => {
      const projector = start()
      await sell(3)
      await projector.caughtUp()
      await projector.stop()
      await sell(3)
      goesAway = true
      rebuilds.startRebuilder({ policy })
      const { name } = projection
      await rebuilds.service.start([name], operator)
      await isTriedAgain()
      const waiting = await eventually(
        () => rebuilds.last(name),
        ({ error }) => error?.includes(engine) ?? false,
        { what: `a rebuild that waits for ${engine}` },
      )
      expect([waiting.state, await parked()]).toEqual(['running', []])
      await comesBack()
      expect(await rebuilds.comes(name, 'done')).toMatchObject({ generation: 2, error: null })
      // Who asks is led to it a moment after it is decided.
      await areShown(6)
      expect(await parked()).toEqual([])
    })
  })
})
