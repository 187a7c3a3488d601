import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import {
  deleteIndices,
  elasticsearchUrl,
  openTestSearchIndex,
  skippedWithoutElasticsearch,
  type TestSearchIndex,
} from '../test/support/elasticsearch.ts'
import { eventually } from '../test/support/eventually.ts'
import { type HangingProxy, openHangingProxy } from '../test/support/hanging-proxy.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { createConsistencyWaiter } from './consistency.ts'
import { orderDetails } from './order-details.ts'
import { orderSearch } from './order-search.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { ProjectorDependencies } from './projector.ts'

const vault = createTestVault()
const watchMs = 50

describe.skipIf(!elasticsearchUrl)(`order search on Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  let rig: ProjectionRig
  let test: TestSearchIndex
  let proxy: HangingProxy
  let far: ReturnType<TestSearchIndex['through']>
  beforeEach(async () => {
    rig = await openProjectionRig()
    test = await openTestSearchIndex()
    proxy = await openHangingProxy(elasticsearchUrl)
    far = test.through(proxy.url, { queryMs: 2_000, writeMs: 2_000 })
  })
  afterEach(async () => {
    await rig.close()
    await proxy.close()
    await far.engine.close()
    await test.close()
  })

  const start = (options: Partial<ProjectorDependencies> = {}) =>
    rig.start(orderSearch({ index: far.index.orders, vault }), { watchMs, ...options })
  const place = async (n: number): Promise<bigint> => {
    const keyId = `00000000-0000-4000-9000-${String(n).padStart(12, '0')}`
    const life = orderLife({ customerId: `customer-${n}`, personal: vault.seal(keyId, ada) })
    return append(rig.store, life.placed, life.confirmed)
  }
  const found = async () => (await test.index.orders.search({ q: 'lovelace confirmed', limit: 100 })).length
  const eventuallyFound = (orders: number) => eventually(found, (hits) => hits === orders, { what: 'the search' })

  it('is built again by itself from the log when its index is deleted, also when nothing else happens', async () => {
    const projector = start()
    for (let n = 0; n < 5; n += 1) await place(n)
    await projector.caughtUp()
    expect(await found()).toBe(5)
    await deleteIndices(test.engine, `${test.prefix}-orders`)
    await eventuallyFound(5)
  })

  it('is built again when its index is deleted while orders flow, and parks nothing for it', async () => {
    const projector = start()
    for (let n = 0; n < 30; n += 1) {
      await place(n)
      if (n % 10 === 5) await deleteIndices(test.engine, `${test.prefix}-orders`)
    }
    await eventuallyFound(30)
    await projector.caughtUp()
    expect(await rig.rows('select from platform.parked_events')).toEqual([])
  })

  it('waits for an engine that hangs, says so, and holds up nobody else', async () => {
    const projector = start()
    const details = rig.start(createPostgresProjection(rig.database, orderDetails(vault)))
    await place(1)
    await projector.caughtUp()
    proxy.hang()
    await place(2)
    await details.caughtUp()
    await eventually(
      async () => projector.status(),
      ({ state, error }) => state === 'waiting' && error?.startsWith('Elasticsearch is unavailable') === true,
    )
    proxy.resume()
    await projector.caughtUp()
    expect(await found()).toBe(2)
  })

  it('is not taken for searchable because a projector of this process has written it', async () => {
    const elsewhere = { order_search: { checkpoints: async () => [] } }
    const waiter = createConsistencyWaiter({ database: rig.database, logger: silentLogger, elsewhere })
    const given = new AbortController()
    const waiting = waiter.waitFor(['order_search'], 1n, 60_000, given.signal)
    waiter.report('order_search', 0, 5n)
    given.abort()
    expect(await waiting).toBe(false)
  })

  it('answers who has waited for a position with everything up to it', async () => {
    const elsewhere = { order_search: test.index.orders }
    const waiter = createConsistencyWaiter({ database: rig.database, logger: silentLogger, elsewhere })
    start({ onCheckpoint: waiter.report })
    for (let n = 1; n <= 10; n += 1) {
      const position = await place(n)
      expect(await waiter.waitFor(['order_search'], position, 90_000)).toBe(true)
      expect(await found()).toBe(n)
    }
  })
})
