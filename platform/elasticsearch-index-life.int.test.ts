import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  deleteIndices,
  elasticsearchUrl,
  indicesOf,
  openTestSearchIndex,
  skippedWithoutElasticsearch,
  type TestSearchIndex,
} from '../test/support/elasticsearch.ts'
import { orderDocument, orderIdOf } from '../test/support/search-orders.ts'
import { writeDocuments } from './elasticsearch-bulk.ts'
import { writesOf } from './elasticsearch-generations.ts'
import { EngineUnavailable, ReadModelAbsent } from './failures.ts'

const identity = randomUUID()
const consumer = 'order_search'

describe.skipIf(!elasticsearchUrl)(`indices of Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  let test: TestSearchIndex
  beforeEach(async () => {
    test = await openTestSearchIndex()
    await test.index.orders.prepare(identity)
  })
  afterEach(() => test?.close())

  const batch = (from: bigint, to: bigint, ...numbers: number[]) => ({
    consumer,
    partition: 0,
    from,
    to,
    upserts: numbers.map((n) => ({ version: to, document: orderDocument(n) })),
    erasures: [],
  })
  const orderIndices = () => indicesOf(test.engine, `${test.prefix}-orders`)

  it('are named by version and generation, and served through an alias', async () => {
    expect(await orderIndices()).toEqual([`${test.prefix}-orders-v1-g1`])
    await test.index.orders.reset(consumer)
    expect(await orderIndices()).toEqual([`${test.prefix}-orders-v1-g1-2`])
    expect(await test.index.orders.applyBatch(batch(0n, 1n, 1))).toBe('applied')
  })

  it('say where their generation stands by the one that is served, not by what was made and never served', async () => {
    const { orders } = test.index
    expect(await orders.applyBatch(batch(0n, 5n, 1))).toBe('applied')
    const index = `${test.prefix}-orders-v1-g1-2`
    await test.engine.write((client, options) => client.indices.create({ index }, options))
    expect(await orders.generations.at(1).checkpoints(consumer)).toMatchObject([{ partition: 0, position: 5n }])
    expect(await orders.generations.at(2).checkpoints(consumer)).toEqual([])
  })

  it('are one, however many prepare and reset at the same time', async () => {
    await deleteIndices(test.engine, test.prefix)
    const others = Array.from({ length: 5 }, () => test.through(elasticsearchUrl))
    await Promise.all(others.map(({ index }) => index.orders.prepare(identity)))
    expect(await orderIndices()).toHaveLength(1)
    await Promise.all(others.map(({ index }) => index.orders.reset(consumer)))
    expect(await orderIndices()).toHaveLength(1)
    await Promise.all(others.map(({ engine }) => engine.close()))
  })

  it('are not made by writing to one that was deleted; who writes is fenced and begins anew', async () => {
    const { orders } = test.index
    expect(await orders.applyBatch(batch(0n, 5n, 1))).toBe('applied')
    expect(await orders.intact()).toBe(true)
    await deleteIndices(test.engine, `${test.prefix}-orders`)

    expect(await orders.applyBatch(batch(5n, 6n, 2))).toBe('fenced')
    const [index] = [`${test.prefix}-orders-v1-g1`]
    const late = writeDocuments(test.engine, writesOf(index), [{ id: 'x', source: {} }], { refresh: false })
    await expect(late).rejects.toThrow(EngineUnavailable)
    await expect(orders.load([orderIdOf(1)])).rejects.toThrow(EngineUnavailable)
    await expect(orders.search({ q: 'somebody', limit: 5 })).rejects.toThrow(ReadModelAbsent)
    expect(await orders.checkpoints(consumer)).toEqual([])
    expect(await orders.intact()).toBe(false)
    expect(await orderIndices()).toEqual([])

    const forgotten: string[] = []
    const record = async () => void forgotten.push('parked events')
    await orders.prepare(identity, { head: 6n, record })
    await orders.prepare(identity, { head: 6n, record })
    expect(forgotten).toEqual(['parked events'])
    expect(await orders.intact()).toBe(true)
    expect(await orders.checkpoint(consumer, 0)).toEqual({ position: 0n, logIdentity: identity })
    expect(await orders.applyBatch(batch(0n, 6n, 1, 2))).toBe('applied')
    expect(await orders.search({ q: 'somebody', limit: 5 })).toHaveLength(2)
  })

  it('take nothing from a writer of the generation before', async () => {
    const old = (await orderIndices())[0] ?? ''
    const other = test.through(elasticsearchUrl)
    await other.index.orders.prepare(identity)
    await other.index.orders.reset(consumer)
    const late = writeDocuments(test.engine, writesOf(old), [{ id: 'x', source: {} }], { refresh: true })
    await expect(late).rejects.toThrow(EngineUnavailable)
    expect(await test.index.orders.intact()).toBe(false)
    await other.engine.close()
  })

  it('stay as they are when the book-keeping of a reset fails', async () => {
    const { orders } = test.index
    await orders.applyBatch(batch(0n, 5n, 1))
    const record = () => Promise.reject(new Error('the database said no'))
    await expect(orders.reset(consumer, record)).rejects.toThrow('said no')
    expect((await orders.checkpoint(consumer, 0)).position).toBe(5n)
    expect(await orderIndices()).toEqual([`${test.prefix}-orders-v1-g1`])
  })
})
