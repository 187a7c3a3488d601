import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CheckpointedStore, StoreBatch, StoreGenerations } from '../platform/checkpointed-store.ts'
import { systemClock } from '../platform/clock.ts'
import type { LeaderboardBatch, LeaderboardStore } from '../platform/leaderboard-store.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createPostgresLeaderboardStore } from '../platform/postgres-leaderboard-store.ts'
import { openRedis } from '../platform/redis-connection.ts'
import { createRedisLeaderboardStore } from '../platform/redis-leaderboard-store.ts'
import type { OrderBatch } from '../platform/search-index.ts'
import { elasticsearchUrl, openTestSearchIndex, skippedWithoutElasticsearch } from '../test/support/elasticsearch.ts'
import { eventually } from '../test/support/eventually.ts'
import { line, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator } from '../test/support/rebuild-rig.ts'
import { hasRedisServer, startRedisServer } from '../test/support/redis-server.ts'
import { leaderboards } from './leaderboards.ts'
import { orderSearch } from './order-search.ts'
import type { Projection } from './projection.ts'

/** A store into which another version of the code writes something else. */
const changed = <Batch extends StoreBatch, Store extends CheckpointedStore<Batch>>(
  store: Store & { readonly generations: StoreGenerations<Store> },
  change: (batch: Batch) => Batch,
): typeof store => {
  const writing = <Some extends Store>(some: Some): Some => ({
    ...some,
    applyBatch: (batch: Batch) => some.applyBatch(change(batch)),
  })
  const { generations } = store
  return { ...writing(store), generations: { ...generations, at: (generation) => writing(generations.at(generation)) } }
}

interface Shop {
  /** A version of the projection over a store of its own, as another process has it. */
  projection(version: number): Projection
  /** How many orders a reader is shown that the first version has written, and how many that the second has. */
  shown(): Promise<readonly [first: number, second: number]>
  close(): Promise<void>
}

/** The second version counts each unit a thousand times. */
const boards = (open: () => LeaderboardStore) => {
  const reader = open()
  return {
    projection: (version: number): Projection => {
      const store = changed(open(), (batch: LeaderboardBatch) => ({
        ...batch,
        deltas: version === 1 ? batch.deltas : batch.deltas.map((delta) => ({ ...delta, units: delta.units * 1_000n })),
      }))
      return { ...leaderboards({ store }), version }
    },
    shown: async () => {
      const at = systemClock.now().toISOString()
      const [customer] = await reader.top({ board: 'customers', by: 'units', window: 'all', at, limit: 1 })
      const units = Number(customer?.units ?? 0n)
      return [units % 1_000, Math.floor(units / 1_000)] as const
    },
  }
}

const inPostgres = async ({ database }: ProjectionRig): Promise<Shop> => ({
  ...boards(() => createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock: systemClock })),
  close: async () => undefined,
})

const inRedis = async ({ database }: ProjectionRig): Promise<Shop> => {
  const server = await startRedisServer()
  const redis = openRedis({ url: server.url, logger })
  return {
    ...boards(() =>
      createRedisLeaderboardStore({ redis, database, namespace: 'orderlog', clock: systemClock, logger }),
    ),
    close: async () => {
      redis.close()
      await server.stop()
    },
  }
}

/** The second version says of every order that it goes by balloon. */
const inElasticsearch = async ({ database }: ProjectionRig): Promise<Shop> => {
  const index = await openTestSearchIndex(database)
  const others: { close(): Promise<void> }[] = []
  const vault = createTestVault()
  return {
    projection: (version) => {
      const { engine, index: own } = index.through(elasticsearchUrl)
      others.push(engine)
      const orders = changed(own.orders, (batch: OrderBatch) => ({
        ...batch,
        upserts:
          version === 1
            ? batch.upserts
            : batch.upserts.map((upsert) => ({ ...upsert, document: { ...upsert.document, carrier: 'balloon' } })),
      }))
      return { ...orderSearch({ index: orders, vault }), version }
    },
    shown: async () => {
      const hits = await index.index.orders.search({ q: 'customer', limit: 200 })
      const second = hits.filter(({ document }) => document.carrier === 'balloon').length
      return [hits.length - second, second]
    },
    close: async () => {
      for (const other of others) await other.close()
      await index.close()
    },
  }
}

const engines = [
  { engine: 'PostgreSQL', without: false, open: inPostgres },
  {
    engine: hasRedisServer ? 'Redis' : 'Redis (left out: no redis-server here)',
    without: !hasRedisServer,
    open: inRedis,
  },
  {
    engine: `Elasticsearch (${skippedWithoutElasticsearch})`,
    without: elasticsearchUrl === '',
    open: inElasticsearch,
  },
]

for (const { engine, without, open } of engines)
  describe.skipIf(without)(`two versions of the code on one read model in ${engine}`, () => {
    let rig: ProjectionRig
    let shop: Shop
    beforeEach(async () => {
      rig = await openProjectionRig()
      shop = await open(rig)
    })
    afterEach(async () => {
      await rig?.close()
      await shop?.close()
    })

    const sell = async (orders: number): Promise<void> => {
      for (let order = 0; order < orders; order += 1) {
        const life = orderLife({ customerId: 'customer-1', lines: [line('lamp', 1, 100)] })
        await append(rig.store, life.placed, life.confirmed)
      }
    }

    const comesToShow = (holds: (first: number, second: number) => boolean) =>
      eventually(shop.shown, ([first, second]) => holds(first, second), { what: 'orders of one version' })

    test('readers have one or the other, and each version writes only what is its own', async () => {
      await sell(10)
      const [first, second] = [shop.projection(1), shop.projection(2)]
      const { name } = first
      const often = { watchMs: 20, lookAgainMs: 20 }
      const old = rig.start(first, often)
      await old.caughtUp()
      const late = rig.start(second, often)
      await late.stopped()
      expect(late.status().error).toContain('built by version 1, code is 2')

      let over = false
      let seen = 0
      const reading = (async () => {
        for (; !over; seen += 1) {
          const [one, other] = await shop.shown()
          if (Math.min(one, other) > 0 || one + other < 10)
            throw new Error(`${one} orders of one version, ${other} of the other`)
        }
      })()
      reading.catch(() => undefined)
      const rebuilds = openRebuildRig(rig, [second])
      try {
        let goOn = (): void => undefined
        const looked = new Promise<void>((resolve) => {
          goOn = resolve
        })
        rebuilds.startRebuilder({
          verify: async () => {
            await looked
            return undefined
          },
        })
        await rebuilds.service.start([name], operator)
        await eventually(
          () => rebuilds.last(name),
          ({ phase }) => phase === 'verifying',
        )
        await sell(3)
        await old.caughtUp()
        expect(await shop.shown()).toEqual([13, 0])
        goOn()
        await rebuilds.comes(name, 'done')
        // Some readers are led to the new one only after PostgreSQL has said that it is live.
        await comesToShow((first, second) => first === 0 && second === 13)
        await sell(2)
        await late.caughtUp()
        expect(await shop.shown()).toEqual([0, 15])
        await old.stopped()
        expect(old.status().error).toContain('built by version 2, code is 1')

        await rebuilds.service.swapBack(name, operator)
        // As it was left; the version that has built it goes on with it, perhaps already.
        await comesToShow((first, second) => first >= 13 && second === 0)
        await sell(1)
        await late.stopped()
        await old.caughtUp()
        expect(await shop.shown()).toEqual([16, 0])
      } finally {
        over = true
        await rebuilds.close()
      }
      await reading
      expect(seen).toBeGreaterThan(10)
    })

    test('one that is swapped in while another version enters is not written by it', async () => {
      await sell(10)
      const [first, second] = [shop.projection(1), shop.projection(2)]
      const before = rig.start(first)
      await before.caughtUp()
      await before.stop()
      const rebuilds = openRebuildRig(rig, [second])
      rebuilds.startRebuilder()
      let swapped: Promise<unknown> | undefined
      const old = rig.start({
        ...first,
        sink: {
          ...first.sink,
          // It has seen that the read model is its own.
          prepare: async (...log) => {
            swapped ??= rebuilds.service.start([first.name], operator).then(() => rebuilds.comes(first.name, 'done'))
            await swapped
            await first.sink.prepare(...log)
          },
        },
      })
      try {
        await old.stopped()
        expect(old.status().error).toContain('built by version 2, code is 1')
        await sell(2)
        expect(await shop.shown()).toEqual([0, 10])
      } finally {
        await rebuilds.close()
      }
    })
  })
