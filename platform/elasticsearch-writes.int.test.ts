import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  elasticsearchUrl,
  indicesOf,
  openTestSearchIndex,
  skippedWithoutElasticsearch,
  type TestSearchIndex,
} from '../test/support/elasticsearch.ts'
import { keyOf, orderDocument, orderIdOf } from '../test/support/search-orders.ts'
import { writeDocuments } from './elasticsearch-bulk.ts'
import { writesOf } from './elasticsearch-generations.ts'
import { indexedOrder } from './elasticsearch-order-documents.ts'
import { seal } from './partitioning.ts'
import type { OrderBatch, OrderDocument } from './search-index.ts'

const identity = randomUUID()
const consumer = 'order_search'

describe.skipIf(!elasticsearchUrl)(`writes to Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  let test: TestSearchIndex
  let writes: string
  beforeAll(async () => {
    test = await openTestSearchIndex()
    await test.index.orders.prepare(identity)
  })
  afterAll(() => test?.close())
  beforeEach(async () => {
    await test.index.orders.reset(consumer)
    const [index = ''] = await indicesOf(test.engine, `${test.prefix}-orders`)
    writes = writesOf(index)
    // Nothing is seen but what is refreshed on purpose.
    const never = { index, settings: { refresh_interval: '-1' } }
    await test.engine.write((client, options) => client.indices.putSettings(never, options))
  })

  const apply = (from: bigint, documents: readonly OrderDocument[], over: Partial<OrderBatch> = {}) => {
    const upserts = documents.map((document) => ({ version: from + 1n, document }))
    const place = { consumer, partition: 0, from, to: from + 1n }
    return test.index.orders.applyBatch({ ...place, upserts, erasures: [], ...over })
  }
  const found = async (q: string) => (await test.index.orders.search({ q, limit: 1_000 })).length
  const reached = async () => (await test.index.orders.checkpoints(consumer)).map(({ position }) => position)
  /** As a worker does that dies before it has looked for erased keys and moved its checkpoint. */
  const leaveBehind = (version: bigint, document: OrderDocument) =>
    writeDocuments(
      test.engine,
      writes,
      [{ id: document.orderId, version: { of: version, type: 'external' }, source: indexedOrder(document) }],
      { refresh: false },
    )

  it('are visible to searches when a small batch is applied', async () => {
    expect(await apply(0n, [orderDocument(1), orderDocument(2)])).toBe('applied')
    expect(await found('somebody')).toBe(2)
  })

  it('are visible to searches when the checkpoint of a large batch is told to somebody who waits for it', async () => {
    const many = Array.from({ length: 700 }, (_, n) => orderDocument(n))
    expect(await apply(0n, many)).toBe('applied')
    expect(await found('somebody')).toBe(0)
    expect(await reached()).toEqual([1n])
    expect(await found('somebody')).toBe(200)
  })

  it('are visible to searches when a large batch is followed by nothing', async () => {
    const many = Array.from({ length: 700 }, (_, n) => orderDocument(n))
    await apply(0n, many)
    expect(await apply(1n, [])).toBe('applied')
    expect(await found('somebody')).toBe(200)
  })

  it('are visible to searches also when their writer died before it could say so', async () => {
    await leaveBehind(1n, orderDocument(1))
    const other = test.through(elasticsearchUrl)
    await other.index.orders.prepare(identity)
    const idle = { consumer, partition: 0, from: 0n, to: 1n, upserts: [], erasures: [] }
    expect(await other.index.orders.applyBatch(idle)).toBe('applied')
    expect(await found('somebody')).toBe(1)
    await other.engine.close()
  })

  it('tell the checkpoints of all partitions', async () => {
    for (const partition of [0, 3, 70])
      await apply(0n, [orderDocument(partition)], { partition, to: BigInt(partition + 1) })
    const places = await test.index.orders.checkpoints(consumer)
    expect(places.map(({ partition, position }) => [partition, position])).toEqual([
      [0, 1n],
      [3, 4n],
      [70, 71n],
    ])
    expect(Date.parse(places[0]?.updatedAt ?? '')).toBeGreaterThan(0)
  })

  it('do not tell the checkpoint of the whole log once the partitions have gone on from there', async () => {
    await apply(0n, [orderDocument(0)], { to: seal(7n) })
    await apply(0n, [orderDocument(1)], { partition: 1, to: 9n })
    const places = await test.index.orders.checkpoints(consumer)
    expect(places.map(({ partition, position }) => [partition, position])).toEqual([[1, 9n]])
  })

  it('cost the other documents nothing when one is refused, and leave the checkpoint where it is', async () => {
    const broken = orderDocument(2, { placedAt: 'Ada Lovelace' })
    const outcome = apply(0n, [orderDocument(1), broken, orderDocument(3)])
    await expect(outcome).rejects.toThrow(`refuses the document ${orderIdOf(2)}: document_parsing_exception`)
    await expect(outcome).rejects.not.toThrow(/Lovelace/)
    expect((await test.index.orders.checkpoint(consumer, 0)).position).toBe(0n)
    expect([...(await test.index.orders.load([1, 2, 3].map(orderIdOf))).keys()]).toEqual([1, 3].map(orderIdOf))
    expect(await apply(0n, [orderDocument(1), orderDocument(3)])).toBe('applied')
  })

  it('keep the book-keeping between the documents and the checkpoint', async () => {
    const seen: unknown[] = []
    const record = async () => {
      const { position } = await test.index.orders.checkpoint(consumer, 0)
      seen.push([(await test.index.orders.load([orderIdOf(1)])).size, position])
    }
    expect(await apply(5n, [orderDocument(1)], { record })).toBe('fenced')
    expect(seen).toEqual([])
    const fails = () => Promise.reject(new Error('the database said no'))
    await expect(apply(0n, [orderDocument(1)], { record: fails })).rejects.toThrow('said no')
    expect(await apply(0n, [orderDocument(1)], { record })).toBe('applied')
    expect(seen).toEqual([[1, 0n]])
  })

  it('take a person out of any number of orders, and leave no trace in what the index returns', async () => {
    const person = { keyId: keyOf(7), name: 'Ada Lovelace', email: 'ada@example.org' }
    await apply(
      0n,
      Array.from({ length: 1_203 }, (_, n) => orderDocument(n, { person })),
    )
    await apply(1n, [], { erasures: [{ customerId: 'ada', keyIds: [person.keyId] }] })
    const { hits } = await test.engine.query((client, options) =>
      client.search({ index: writes, size: 2_000 }, options),
    )
    expect(hits.hits.filter((hit) => hit._id?.includes('-4000-a000-'))).toHaveLength(1_203)
    expect(JSON.stringify(hits)).not.toMatch(/lovelace|ada@/i)
    expect((await test.index.orders.load([orderIdOf(3)])).get(orderIdOf(3))?.version).toBe(1n)
  })

  it('forget also whom a worker left behind that died after the erasure', async () => {
    await apply(0n, [], { erasures: [{ customerId: 'customer-1', keyIds: [keyOf(1), keyOf(2)] }] })
    await leaveBehind(2n, orderDocument(1))
    await leaveBehind(2n, orderDocument(2))
    // The same events come again: an order that is loaded to be folded on, and one that is written in the same version.
    expect((await test.index.orders.load([orderIdOf(1)])).get(orderIdOf(1))?.document.person).toBeNull()
    await apply(1n, [orderDocument(2, { person: null })])
    expect((await test.index.orders.load([orderIdOf(2)])).get(orderIdOf(2))?.document.person).toBeNull()
    expect(await found('somebody')).toBe(0)
  })
})
