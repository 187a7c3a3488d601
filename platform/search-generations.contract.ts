import { describe, expect, it } from 'vitest'
import { orderDocument } from '../test/support/search-orders.ts'
import type { GenerationsReader } from './checkpointed-store.ts'
import type { Database, Queryable } from './database.ts'
import type { OrderBatch, OrderSearch, ProductBatch, ProductSearch, SearchIndex } from './search-index.ts'
import { describeStoreGenerations } from './store-generations.contract.ts'

/** An unprepared, empty search index, as several processes see it. */
export interface OpenedSearchGenerations {
  readonly database: Database
  readonly index: SearchIndex
  other(): { readonly index: SearchIndex; lose(): void }
  /** How far who waits for a consistency token believes a projection to be. */
  checkpoints(
    of: 'products' | 'orders',
    name: string,
  ): Promise<readonly { readonly partition: number; readonly position: bigint }[]>
  readonly readers?: Readonly<Record<'products' | 'orders', GenerationsReader>>
  close(): Promise<void>
}

const product = (key: number) => ({
  ...{ sku: `SKU-${key}`, name: `Gramophone ${key}`, description: '', brand: 'Acme', category: 'audio' },
  price: { amount: 100, currency: 'EUR' },
})

const numbers = (texts: Iterable<string>): number[] => [...texts].map(Number).sort((a, b) => a - b)

/** What every search index must do with its generations. */
export const describeSearchGenerations = (engine: string, open: () => Promise<OpenedSearchGenerations>): void => {
  describeStoreGenerations<ProductBatch, ProductSearch>(`products in ${engine}`, async () => {
    const { index, other, checkpoints, readers, ...opened } = await open()
    return {
      ...opened,
      name: 'product_search',
      store: index.products,
      other: () => {
        const seen = other()
        return { store: seen.index.products, lose: seen.lose }
      },
      effect: (key, version) => ({ upserts: key === 0 ? [] : [{ version, document: product(key) }] }),
      shown: async (store) =>
        numbers((await store.search({ q: 'gramophone', limit: 100 })).map(({ id }) => id.slice('SKU-'.length))),
      checkpoints: () => checkpoints('products', 'product_search'),
      ...(readers ? { reader: readers.products } : {}),
    }
  })

  describeStoreGenerations<OrderBatch, OrderSearch>(`orders in ${engine}`, async () => {
    const { index, other, checkpoints, readers, ...opened } = await open()
    return {
      ...opened,
      name: 'order_search',
      store: index.orders,
      other: () => {
        const seen = other()
        return { store: seen.index.orders, lose: seen.lose }
      },
      effect: (key, version) => ({
        upserts: key === 0 ? [] : [{ version, document: orderDocument(key) }],
        erasures: [],
      }),
      shown: async (store) => {
        const hits = await store.search({ q: 'somebody', limit: 100 })
        return numbers(hits.map(({ id }) => id.slice(0, 8)))
      },
      checkpoints: () => checkpoints('orders', 'order_search'),
      ...(readers ? { reader: readers.orders } : {}),
    }
  })

  describe(`persons in generations of ${engine}`, () => {
    it('who are forgotten while one is built are in it no more than in the live one, whoever comes late', async () => {
      const { index, close } = await open()
      try {
        const identity = '00000000-0000-4000-8000-000000000001'
        await index.orders.prepare(identity)
        const building = index.orders.generations.at(2)
        await building.prepare(identity)
        const order = orderDocument(1)
        const keyIds = [order.person?.keyId ?? '']
        const place = { consumer: 'order_search', from: 0n, to: 5n }
        const upserts = [{ version: 5n, document: order }]
        const erasures = [{ customerId: order.customerId, keyIds }]
        const late = { ...place, partition: 1, erasures: [], upserts: [{ version: 6n, document: order }] }
        await Promise.all([
          building.applyBatch({ ...place, partition: 2, upserts, erasures: [] }),
          building.applyBatch({ ...place, partition: 3, upserts: [], erasures }),
        ])
        // Opened before the key was destroyed, written after.
        expect(await building.applyBatch(late)).toBe('applied')
        await building.complete()
        expect((await building.load([order.orderId])).get(order.orderId)?.document.person).toBeNull()
        expect(await building.search({ q: 'somebody', limit: 9 })).toEqual([])
      } finally {
        await close()
      }
    })

    it('who are forgotten stand in no generation any more, whether it is live, built or kept', async () => {
      const { index, close } = await open()
      try {
        const identity = '00000000-0000-4000-8000-000000000001'
        const { generations } = index.orders
        const [forgotten, other] = [orderDocument(1), orderDocument(2)]
        const upserts = [forgotten, other].map((document, at) => ({ version: BigInt(at + 1), document }))
        const batch = { consumer: 'order_search', partition: 0, from: 0n, to: 2n, upserts, erasures: [] }
        const record = (live: number) => async (transaction: Queryable) => {
          await transaction.query(
            `insert into platform.projections (name, version, generation) values ('order_search', 1, $1)
             on conflict (name) do update set generation = excluded.generation`,
            [live],
          )
        }
        await index.orders.prepare(identity)
        await index.orders.applyBatch(batch)
        const [kept, next, building] = [generations.at(1), generations.at(2), generations.at(3)]
        for (const generation of [next, building]) {
          await generation.prepare(identity)
          await generation.applyBatch(batch)
        }
        await next.complete()
        const change = { partitions: [0], logIdentity: identity }
        await generations.swap({ ...change, from: 1, to: 2, reach: async () => 2n, record: record(2) })

        const keyIds = [forgotten.person?.keyId ?? '']
        await index.forget(keyIds)
        await index.forget(keyIds)
        const persons = async (store: typeof kept | typeof index.orders) => {
          const found = await store.load([forgotten.orderId, other.orderId])
          return [forgotten, other].map(({ orderId }) => found.get(orderId)?.document.person)
        }
        await kept.prepare(identity)
        for (const store of [index.orders, kept, building]) expect(await persons(store)).toEqual([null, other.person])
        // Opened before the key was destroyed, written after.
        const late = { ...batch, from: 2n, to: 3n, upserts: [{ version: 3n, document: forgotten }] }
        expect(await building.applyBatch(late)).toBe('applied')
        expect(await persons(building)).toEqual([null, other.person])

        await generations.swap({ ...change, from: 2, to: 1, reach: undefined, record: record(1) })
        expect(await persons(index.orders)).toEqual([null, other.person])
        const hits = await index.orders.search({ q: 'somebody', limit: 9 })
        expect(hits.map(({ id }) => id)).toEqual([other.orderId])
      } finally {
        await close()
      }
    })
  })
}
