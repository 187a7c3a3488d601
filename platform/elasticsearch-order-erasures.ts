import { type BulkItem, writeDocuments } from './elasticsearch-bulk.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { indexedOrder } from './elasticsearch-order-documents.ts'
import { versionOf } from './elasticsearch-reads.ts'
import type { OrderDocument, Versioned } from './search-index.ts'

/**
 * How a person stays forgotten without a transaction: destroyed keys are documents of the index, and
 *
 * who erases: marks the key -> refreshes, twice -> looks for orders under it -> writes each without its person
 * who writes: writes orders -> looks whether one of their keys is marked -> writes those without their person
 *
 * Orders that are written before the second refresh begins are seen by who erases; whoever writes later looks after the
 * first refresh has ended, and sees the mark. So whichever comes first, the person goes. What a writer leaves behind that
 * dies between writing and looking has not moved the checkpoint: it is found when the same events come again, by `load`
 * or as a version that is there already.
 */
const markOf = (keyId: string): BulkItem => ({ id: `erased:${keyId}`, source: { erased_key: keyId } })

const withoutPerson = function* (orders: Iterable<Versioned<OrderDocument>>): Generator<BulkItem> {
  for (const { version, document } of orders)
    yield {
      id: document.orderId,
      version: { of: version, type: 'external_gte' },
      source: indexedOrder({ ...document, person: null }),
    }
}

/** Which of these keys are marked as destroyed. Asked of what is refreshed: of thousands, that costs a tenth of a get. */
const markedOf = async (
  engine: Elasticsearch,
  index: string,
  keyIds: readonly string[],
): Promise<ReadonlySet<string>> => {
  const distinct = [...new Set(keyIds)]
  const { hits } = await engine.write((client, options) =>
    client.search<{ erased_key: string }>(
      {
        index,
        query: { bool: { filter: { terms: { erased_key: distinct } } } },
        size: Math.min(distinct.length, mostHits),
        track_total_hits: false,
        allow_partial_search_results: false,
        _source: ['erased_key'],
        filter_path: 'hits.hits._source',
      },
      options,
    ),
  )
  return new Set(hits?.hits?.map(({ _source }) => _source?.erased_key ?? ''))
}

/**
 * Takes the persons out of those of the orders whose key is destroyed; a newer version of an order stays as it is.
 *
 * @returns the orders that had to change
 */
export const forgetMarked = async (
  engine: Elasticsearch,
  writes: string,
  orders: readonly Versioned<OrderDocument>[],
  options: { readonly refresh: boolean },
): Promise<readonly Versioned<OrderDocument>[]> => {
  const keyIds = orders.flatMap(({ document }) => (document.person ? [document.person.keyId] : []))
  if (keyIds.length === 0) return []
  const marked = await markedOf(engine, writes, keyIds)
  if (marked.size === 0) return []
  const affected = orders.filter(({ document }) => document.person && marked.has(document.person.keyId))
  await writeDocuments(engine, writes, withoutPerson(affected), options)
  return affected
}

/** What one search returns at most (`index.max_result_window`). */
const mostHits = 10_000
/** Orders that lose their person with one request. */
const page = 500

/** Marks keys as destroyed and takes the persons out of all orders under them, visibly to searches. */
export const eraseKeys = async (engine: Elasticsearch, writes: string, keyIds: readonly string[]): Promise<void> => {
  await writeDocuments(engine, writes, keyIds.map(markOf), { refresh: true })
  await engine.write((client, options) => client.indices.refresh({ index: writes }, options))
  for (;;) {
    const { hits } = await engine.write((client, options) =>
      client.search<{ document: OrderDocument }>(
        {
          index: writes,
          query: { terms: { person_key: [...keyIds] } },
          size: page,
          version: true,
          track_total_hits: false,
          allow_partial_search_results: false,
          _source: ['document'],
        },
        options,
      ),
    )
    const orders = hits.hits.flatMap(({ _version, _source }) =>
      _source ? [{ version: versionOf(_version), document: _source.document }] : [],
    )
    if (orders.length === 0) return
    await writeDocuments(engine, writes, withoutPerson(orders), { refresh: true })
  }
}
