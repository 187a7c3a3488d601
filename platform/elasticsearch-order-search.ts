import type { Database } from './database.ts'
import { createElasticsearchAmend } from './elasticsearch-amend.ts'
import { type BulkItem, refreshBelow, writeDocuments } from './elasticsearch-bulk.ts'
import type { Candidates } from './elasticsearch-candidates.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { createElasticsearchCollection, type Effect, type ElasticsearchSearch } from './elasticsearch-collection.ts'
import { writesOf } from './elasticsearch-generations.ts'
import { indexedOrder, orderShape } from './elasticsearch-order-documents.ts'
import { eraseKeys, forgetMarked } from './elasticsearch-order-erasures.ts'
import { orderLooks } from './elasticsearch-order-query.ts'
import { readDocuments, versionOf } from './elasticsearch-reads.ts'
import { createElasticsearchScan } from './elasticsearch-scan.ts'
import type { Logger } from './logging.ts'
import { orderPieces, rankOrders } from './order-ranking.ts'
import type { OrderBatch, OrderDocument, OrderQuery, Versioned } from './search-index.ts'

function* itemsOf(orders: Iterable<Versioned<OrderDocument>>): Generator<BulkItem> {
  // Newer versions only: one that is there already may have lost its person since.
  for (const { version, document } of orders)
    yield { id: document.orderId, version: { of: version, type: 'external' }, source: indexedOrder(document) }
}

/** Order search in Elasticsearch. */
export const createElasticsearchOrderSearch = (deps: {
  readonly engine: Elasticsearch
  readonly candidates: Candidates
  readonly database: Database
  readonly logger: Logger
  readonly alias: string
  /** Of the projection. */
  readonly name: string
  /** Default: the live one. */
  readonly generation?: number
}): ElasticsearchSearch<OrderDocument, OrderBatch, OrderQuery> => {
  const { engine, candidates } = deps

  /** Orders as they are now, nobody in them who is forgotten. */
  const load = async (index: string, ids: readonly string[]): Promise<Map<string, Versioned<OrderDocument>>> => {
    const found = await readDocuments<{ document: OrderDocument }>(engine, index, ids, ['document'])
    const orders = new Map<string, Versioned<OrderDocument>>()
    let generation: string | undefined
    for (const { _id, _index, _version, _source } of found)
      if (_source) {
        orders.set(_id, { version: versionOf(_version), document: _source.document })
        generation = _index
      }
    if (generation === undefined) return orders
    const affected = await forgetMarked(engine, writesOf(generation), [...orders.values()], { refresh: true })
    for (const { version, document } of affected)
      orders.set(document.orderId, { version, document: { ...document, person: null } })
    return orders
  }

  const write = async (writes: string, { upserts, erasures }: OrderBatch, loading: boolean): Promise<Effect> => {
    if (upserts.length === 0 && erasures.length === 0) return 'nothing'
    const keyIds = erasures.flatMap((erasure) => erasure.keyIds)
    const refresh = !loading && upserts.length < refreshBelow
    const orders = new Map(upserts.map((upsert) => [upsert.document.orderId, upsert]))
    const stale = await writeDocuments(engine, writes, itemsOf(upserts), {
      refresh,
      afterwards: (ids) =>
        forgetMarked(
          engine,
          writes,
          ids.flatMap((id) => orders.get(id) ?? []),
          { refresh },
        ),
    })
    // Written by whom, and was it looked at? Looking again does no harm.
    if (stale.length > 0) await load(writes, stale)
    if (keyIds.length > 0) await eraseKeys(engine, writes, keyIds)
    return refresh || keyIds.length > 0 ? 'searchable' : 'written'
  }

  const collection = createElasticsearchCollection<
    OrderBatch,
    ElasticsearchSearch<OrderDocument, OrderBatch, OrderQuery>
  >({
    ...deps,
    shape: orderShape,
    write,
    at: (generation) => createElasticsearchOrderSearch({ ...deps, generation }),
  })
  return {
    ...collection,
    load: async (orderIds) => load(await collection.target(), orderIds),
    scan: createElasticsearchScan({ ...deps, ...collection, indexed: indexedOrder }),
    amend: createElasticsearchAmend({
      ...deps,
      ...collection,
      idOf: (document) => document.orderId,
      indexed: indexedOrder,
      // A key may have been destroyed since the person was opened.
      afterwards: load,
    }),
    search: async ({ q, limit }) => {
      const pieces = orderPieces(q)
      if (pieces.length === 0) return []
      const index = await collection.target()
      for (const forgiving of [false, true]) {
        const found = (await candidates<OrderDocument>(index, orderLooks(pieces, forgiving))).flat()
        const documents = [...new Map(found.map((order) => [order.orderId, order])).values()]
        const hits = rankOrders(q, documents, limit)
        if (hits.length > 0) return hits
      }
      return []
    },
  }
}
