import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  elasticsearchUrl,
  openTestSearchIndex,
  skippedWithoutElasticsearch,
  type TestSearchIndex,
} from '../test/support/elasticsearch.ts'
import { eventually } from '../test/support/eventually.ts'
import { type HangingProxy, openHangingProxy } from '../test/support/hanging-proxy.ts'
import { orderDocument, orderIdOf } from '../test/support/search-orders.ts'
import { elasticsearchHealth } from './elasticsearch-health.ts'
import { EngineUnavailable } from './failures.ts'

const consumer = 'order_search'
const impatient = { queryMs: 1_000, writeMs: 1_000, pingMs: 1_000 }

describe.skipIf(!elasticsearchUrl)(`an Elasticsearch that fails (${skippedWithoutElasticsearch})`, () => {
  let test: TestSearchIndex
  let proxy: HangingProxy
  let far: ReturnType<TestSearchIndex['through']>
  beforeEach(async () => {
    test = await openTestSearchIndex()
    proxy = await openHangingProxy(elasticsearchUrl)
    far = test.through(proxy.url, impatient)
    const identity = randomUUID()
    await test.index.orders.prepare(identity)
    await eventually(
      () => far.index.orders.prepare(identity),
      () => true,
    )
  })
  afterEach(async () => {
    await proxy.close()
    await far.engine.close()
    await test.close()
  })

  const batch = (from: bigint, numbers: readonly number[]) => ({
    consumer,
    partition: 0,
    from,
    to: from + 1n,
    upserts: numbers.map((n) => ({ version: from + 1n, document: orderDocument(n) })),
    erasures: [],
  })
  const ask = () => far.index.orders.search({ q: 'somebody', limit: 10 })
  /** Asks until the engine has caught its breath. */
  const found = async () => (await eventually(ask, () => true)).length
  /** Applies a batch as a projector does: again and again while the engine is away. */
  const persist = async (from: bigint, numbers: readonly number[]): Promise<void> => {
    for (;;) {
      try {
        const outcome = await far.index.orders.applyBatch(batch(from, numbers))
        // The first try may have got through although nobody heard of it.
        if (outcome === 'fenced') expect((await test.index.orders.checkpoint(consumer, 0)).position).toBe(from + 1n)
        return
      } catch (error) {
        expect(error).toBeInstanceOf(EngineUnavailable)
      }
    }
  }

  it('is given up in bounded time while it hangs, and used again when it goes on', async () => {
    const { orders } = far.index
    await persist(0n, [1])
    proxy.hang()
    const asked = [
      ask(),
      orders.applyBatch(batch(1n, [2])),
      orders.load([orderIdOf(1)]),
      orders.checkpoint(consumer, 0),
      orders.checkpoints(consumer),
      orders.intact(),
      Promise.resolve(elasticsearchHealth(far.engine)()),
    ]
    for (const outcome of await Promise.allSettled(asked)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(EngineUnavailable) })
      expect(outcome).toMatchObject({
        reason: { message: 'Elasticsearch is unavailable: no answer within 1000 ms' },
      })
    }
    proxy.resume()
    await persist(1n, [2])
    expect(await found()).toBe(2)
    expect(
      await eventually(
        async () => elasticsearchHealth(far.engine)(),
        () => true,
      ),
    ).toEqual({ ok: true })
  })

  it('refuses further searches at once when enough wait for it', async () => {
    proxy.hang()
    const waiting = Array.from({ length: 64 }, () => ask().catch((error: Error) => error.message))
    await expect(ask()).rejects.toThrow('64 searches are waiting for it already')
    expect(new Set(await Promise.all(waiting))).toEqual(
      new Set(['Elasticsearch is unavailable: no answer within 1000 ms']),
    )
    proxy.resume()
    expect(await found()).toBe(0)
  })

  it('is used again, over the same connections, after it was away', async () => {
    const port = Number(new URL(proxy.url).port)
    await proxy.close()
    // The first may meet a connection of which is not known yet that it was closed.
    await expect(ask()).rejects.toThrow(EngineUnavailable)
    await expect(ask()).rejects.toThrow(/^Elasticsearch is unavailable: .*ECONNREFUSED/)
    await expect(far.index.orders.applyBatch(batch(0n, [1]))).rejects.toThrow(EngineUnavailable)
    proxy = await openHangingProxy(elasticsearchUrl, port)
    await persist(0n, [1])
    expect(await found()).toBe(1)
  })

  it('loses and doubles nothing when connections break while batches are written', async () => {
    const port = Number(new URL(proxy.url).port)
    const numbers = Array.from({ length: 300 }, (_, n) => n)
    let written = false
    const writing = (async () => {
      for (let from = 0n; from < 12n; from += 1n) await persist(from, numbers)
      written = true
    })()
    for (let breaks = 0; breaks < 6 && !written; breaks += 1) {
      const { position } = await test.index.orders.checkpoint(consumer, 0)
      await proxy.close()
      proxy = await openHangingProxy(elasticsearchUrl, port)
      // Until it has got further: each break then meets another batch.
      while (!written && (await test.index.orders.checkpoint(consumer, 0)).position === position);
    }
    await writing
    expect((await test.index.orders.checkpoint(consumer, 0)).position).toBe(12n)
    const loaded = await test.index.orders.load(numbers.map(orderIdOf))
    expect(new Set([...loaded.values()].map(({ version }) => version))).toEqual(new Set([12n]))
    expect(loaded.size).toBe(300)
  })
})
