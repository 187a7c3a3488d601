import { randomUUID } from 'node:crypto'
import { Client } from '@elastic/elasticsearch'
import { openElasticsearch } from '../../platform/elasticsearch-client.ts'
import { indexedOrder, orderShape } from '../../platform/elasticsearch-order-documents.ts'
import { createElasticsearchSearchIndex } from '../../platform/elasticsearch-search-index.ts'
import { silentLogger } from '../../platform/logging.ts'
import type { OrderDocument } from '../../platform/search-index.ts'
import type { Contender, Measured, Row } from '../contender.ts'
import { openOurs } from '../ours.ts'

const url = process.env.ELASTICSEARCH_URL ?? ''
const orders = 20_000
const ordersPerBatch = 2_000

const names = [
  'Ada Lovelace',
  'Grace Hopper',
  'Zoë Johnson',
  'Jürgen Schmidt',
  "Mary O'Brien",
  'Alan Turing',
  'Ann Lee',
]
const products = [
  'Apple iPhone 15 Pro 128GB',
  'Silicone Case for iPhone 15 Pro',
  'Dell XPS 13',
  'HDMI Cable 3m',
  'Air Fryer XL',
]

const orderOf = (n: number): OrderDocument => {
  const line = (at: number) => ({
    sku: `SKU-${(n * 31 + at) % 5_000}`,
    name: products[(n + at) % 5] ?? '',
    quantity: 1,
  })
  return {
    orderId: randomUUID(),
    customerId: `customer-${n % 20_000}`,
    status: 'placed',
    placedAt: new Date(Date.UTC(2026, 10, 21) + n * 1_000).toISOString(),
    total: { amount: 4_497, currency: 'EUR' },
    lines: [line(0), line(1)],
    carrier: null,
    trackingId: null,
    person: { keyId: randomUUID(), name: names[n % 7] ?? '', email: `somebody${n}@example.org` },
  }
}

const batches = (count: number): OrderDocument[][] =>
  Array.from({ length: count / ordersPerBatch }, (_, batch) =>
    Array.from({ length: ordersPerBatch }, (_, at) => orderOf(batch * ordersPerBatch + at)),
  )

const inTurn = async <Batch>(
  prepared: readonly Batch[],
  write: (batch: Batch) => Promise<unknown>,
): Promise<Measured> => {
  const latenciesMs: number[] = []
  const begun = performance.now()
  for (const batch of prepared) {
    const start = performance.now()
    await write(batch)
    latenciesMs.push(performance.now() - start)
  }
  const seconds = (performance.now() - begun) / 1_000
  return { done: prepared.length * ordersPerBatch, seconds, latenciesMs }
}

const ours: Contender = {
  count: orders,
  warmUp: orders / 2,
  open: async (bench) => {
    const { database, close } = await openOurs(bench)
    const engine = openElasticsearch({ url })
    const prefix = `bench-${randomUUID()}`
    const index = createElasticsearchSearchIndex({ engine, database, logger: silentLogger, prefix }).orders
    await index.prepare(randomUUID())
    let position = 0n
    return {
      run: (count) =>
        inTurn(batches(count), async (documents) => {
          const to = position + BigInt(ordersPerBatch)
          const upserts = documents.map((document, at) => ({ version: position + BigInt(at + 1), document }))
          const batch = { consumer: 'order_search', partition: 0, from: position, to, upserts, erasures: [] }
          if ((await index.applyBatch(batch)) !== 'applied') throw new Error('the batch was fenced')
          position = to
        }),
      close: async () => {
        await engine.write((client, options) => client.indices.delete({ index: `${prefix}-orders-v1-g1` }, options))
        await engine.close()
        await close()
      },
    }
  },
}

const raw: Contender = {
  count: orders,
  warmUp: orders / 2,
  open: async () => {
    const client = new Client({ node: url })
    const index = `bench-${randomUUID()}`
    const settings = { number_of_shards: 1, auto_expand_replicas: '0-1' }
    await client.indices.create({ index, settings, mappings: orderShape.mappings })
    let version = 0
    const operationsOf = (documents: readonly OrderDocument[]) =>
      documents.flatMap((document) => {
        version += 1
        return [{ index: { _id: document.orderId, version, version_type: 'external' } }, indexedOrder(document)]
      })
    return {
      run: (count) => {
        const prepared = batches(count).map((batch) =>
          [batch.slice(0, ordersPerBatch / 2), batch.slice(ordersPerBatch / 2)].map(operationsOf),
        )
        return inTurn(prepared, (halves) =>
          Promise.all(
            halves.map(async (operations) => {
              const { errors } = await client.bulk({ index, operations })
              if (errors) throw new Error('a document was refused')
            }),
          ),
        )
      },
      close: async () => {
        await client.indices.delete({ index })
        await client.close()
      },
    }
  },
}

export const elasticsearchBulk: Row = {
  name: 'elasticsearch-bulk',
  unit: 'documents/s',
  compares:
    `batches of ${ordersPerBatch} orders, one after the other, into the Elasticsearch of ELASTICSEARCH_URL: ours: ` +
    'applyBatch of the order search (analyses the words, writes, looks for erased keys, moves the checkpoint), p50/p99 ' +
    'per batch; raw: the client, two bulk requests at once per batch, the same documents with their words made ' +
    'beforehand, same mapping. Goal: 0.7 of raw.',
  skipped: url ? undefined : 'ELASTICSEARCH_URL is unset',
  ours,
  raw,
}
