import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  deleteIndices,
  elasticsearchUrl,
  indicesOf,
  openTestSearchIndex,
  skippedWithoutElasticsearch,
  type TestSearchIndex,
} from '../test/support/elasticsearch.ts'
import { eventually } from '../test/support/eventually.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { orderSearch } from './order-search.ts'
import { productSearch } from './product-search.ts'
import type { Projection } from './projection.ts'

const names = ['order_search', 'product_search']
/** A search shows 200 at most. */
const mostOrders = 150

describe.skipIf(!elasticsearchUrl)(`rebuilds of search in Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  let rig: ProjectionRig
  let test: TestSearchIndex
  let rebuilds: RebuildRig
  let projections: readonly Projection[]
  let vault: ReturnType<typeof createTestVault>
  let placed: string[]
  beforeEach(async () => {
    rig = await openProjectionRig()
    test = await openTestSearchIndex(rig.database)
    vault = createTestVault()
    placed = []
    projections = [orderSearch({ index: test.index.orders, vault }), productSearch({ index: test.index.products })]
    rebuilds = openRebuildRig(rig, projections)
  })
  afterEach(async () => {
    await rebuilds?.close()
    await rig?.close()
    await test?.close()
  })

  const startAll = () => projections.map((projection) => rig.start(projection, { watchMs: 50 }))
  const caughtUp = async (live: ReturnType<typeof startAll>) => {
    for (const projector of live) await projector.caughtUp()
  }
  const keyOf = (n: number) => `00000000-0000-4000-9000-${String(n).padStart(12, '0')}`
  const skuOf = (n: number) => `SKU-${n}`
  const place = async (): Promise<void> => {
    const n = placed.length
    const life = orderLife({ customerId: `customer-${n}`, personal: vault.seal(keyOf(n), ada) })
    placed.push(life.orderId)
    await append(rig.store, life.placed, life.confirmed, {
      type: 'ProductRegistered',
      data: {
        ...{ sku: skuOf(n), name: `Gramophone ${n}`, description: '', brand: 'Acme', category: 'audio' },
        ...{ price: { amount: 100 + n, currency: 'EUR' }, registeredAt: '2026-11-21T12:00:00.000Z' },
      },
    })
  }
  const forget = async (n: number): Promise<void> => {
    await vault.destroy([keyOf(n)])
    const forgotten = { customerId: `customer-${n}`, keyIds: [keyOf(n)], forgottenAt: '2026-11-21T12:00:00.000Z' }
    await append(rig.store, { type: 'PersonalDataForgotten', data: forgotten })
  }
  const documents = async () => {
    const orders = await test.index.orders.load(placed)
    const products = await test.index.products.load(placed.map((_, n) => skuOf(n)))
    return [...orders, ...products]
  }
  const rebuilt = async (generation: number): Promise<void> => {
    await rebuilds.service.start(names, operator)
    for (const name of names)
      await eventually(
        () => rebuilds.last(name),
        (rebuild) => rebuild.generation === generation && rebuild.state === 'done',
        { what: `generation ${generation} of ${name} being live` },
      )
  }

  it('equal what the live feed has made, and are what it goes on with', async () => {
    for (let n = 0; n < 40; n += 1) await place()
    await forget(3)
    const live = startAll()
    await caughtUp(live)
    const before = await documents()
    expect(before).toHaveLength(80)
    rebuilds.startRebuilder()
    await rebuilt(2)
    expect(await documents()).toEqual(before)
    expect(await indicesOf(test.engine, `${test.prefix}-orders`)).toEqual([
      `${test.prefix}-orders-v1-g1`,
      `${test.prefix}-orders-v1-g2`,
    ])
    await place()
    await caughtUp(live)
    expect(await documents()).toHaveLength(82)

    for (const name of names) await rebuilds.service.swapBack(name, operator)
    for (const name of names)
      await eventually(
        () => rebuilds.last(name),
        (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
        { what: `generation 1 of ${name} being live again` },
      )
    await place()
    await caughtUp(live)
    expect(await documents()).toHaveLength(84)
    for (const name of names) await rebuilds.service.drop(name, 2, operator)
    expect(await indicesOf(test.engine, test.prefix)).toEqual([
      `${test.prefix}-orders-v1-g1`,
      `${test.prefix}-products-v1-g1`,
    ])
  })

  it('while orders come and customers are forgotten, nobody sees a gap or less than a token promised', async () => {
    for (let n = 0; n < 40; n += 1) await place()
    const live = startAll()
    await caughtUp(live)
    let over = false
    const writing = (async () => {
      while (!over && placed.length < mostOrders) {
        await place()
        if (placed.length % 10 === 0) await forget(placed.length - 5)
      }
    })()
    const far = test.through(elasticsearchUrl)
    let reads = 0
    const reading = (async () => {
      for (let before = 0; !over; reads += 1) {
        const [checkpoint] = await far.index.orders.checkpoints('order_search')
        const [promised] = await rig.rows<{ orders: bigint }>(
          "select count(*) as orders from log.events where position <= $1 and type like 'order.placed%'",
          [checkpoint?.position ?? 0n],
        )
        const hits = await far.index.orders.search({ q: 'customer', limit: 200 })
        if (!checkpoint || !promised || hits.length < Number(promised.orders) || hits.length < before)
          throw new Error(`${hits.length} orders shown, ${promised?.orders} promised, ${before} shown before`)
        before = hits.length
      }
    })()
    reading.catch(() => undefined)
    rebuilds.startRebuilder()
    try {
      await rebuilt(2)
      await rebuilt(3)
    } finally {
      over = true
      await writing
    }
    await reading
    await far.engine.close()
    expect(reads).toBeGreaterThan(5)
    await caughtUp(live)
    const after = await documents()
    expect(after).toHaveLength(2 * placed.length)
    expect(await test.index.orders.search({ q: 'customer', limit: 200 })).toHaveLength(placed.length)
    const persons = await test.index.orders.load(placed)
    const nameless = placed.filter((orderId) => persons.get(orderId)?.document.person === null)
    const forgotten = await rig.rows("select 1 from log.events where type like '%forgotten%'")
    expect(nameless).toHaveLength(forgotten.length)

    // Built once more with nobody at work.
    await rebuilt(4)
    expect(await documents()).toEqual(after)
  })

  it('are taken up where they stood when who builds them dies in any phase, or the new index is deleted', async () => {
    for (let n = 0; n < 40; n += 1) await place()
    const live = startAll()
    await caughtUp(live)
    const before = await documents()
    await rebuilds.service.start(names, operator)
    let deleted = false
    for (let tries = 0; tries < 40; tries += 1) {
      const was = await rebuilds.last('order_search')
      if (was.state === 'done') break
      if (was.phase === 'verifying' && !deleted) {
        await deleteIndices(test.engine, `${test.prefix}-orders-v1-g2`)
        deleted = true
      }
      const { stop } = rebuilds.startRebuilder({ pollMs: 5 })
      await eventually(
        () => rebuilds.last('order_search'),
        (now) => now.phase !== was.phase || now.position > was.position || now.state === 'done',
        { everyMs: 1 },
      )
      await stop()
    }
    rebuilds.startRebuilder()
    for (const name of names) await rebuilds.comes(name, 'done')
    expect(await documents()).toEqual(before)
    await place()
    await caughtUp(live)
    expect(await documents()).toHaveLength(82)
  })
})
