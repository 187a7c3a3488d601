import type { Database } from './database.ts'
import { createElasticsearchAmend } from './elasticsearch-amend.ts'
import { type BulkItem, refreshBelow, writeDocuments } from './elasticsearch-bulk.ts'
import type { Candidates } from './elasticsearch-candidates.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { createElasticsearchCollection, type ElasticsearchSearch } from './elasticsearch-collection.ts'
import { indexedProduct, productShape } from './elasticsearch-product-documents.ts'
import { depths, productQuery } from './elasticsearch-product-query.ts'
import { readDocuments, versionOf } from './elasticsearch-reads.ts'
import { createElasticsearchScan } from './elasticsearch-scan.ts'
import type { Logger } from './logging.ts'
import { rankProducts } from './product-ranking.ts'
import type { ProductBatch, ProductDocument, ProductQuery, Versioned } from './search-index.ts'
import { parseQuestion } from './search-question.ts'

function* itemsOf(upserts: readonly Versioned<ProductDocument>[]): Generator<BulkItem> {
  for (const { version, document } of upserts)
    yield { id: document.sku, version: { of: version, type: 'external' }, source: indexedProduct(document) }
}

/** Product search in Elasticsearch. */
export const createElasticsearchProductSearch = (deps: {
  readonly engine: Elasticsearch
  readonly candidates: Candidates
  readonly database: Database
  readonly logger: Logger
  readonly alias: string
  /** Of the projection. */
  readonly name: string
  /** Default: the live one. */
  readonly generation?: number
}): ElasticsearchSearch<ProductDocument, ProductBatch, ProductQuery> => {
  const { engine, candidates } = deps
  const collection = createElasticsearchCollection<
    ProductBatch,
    ElasticsearchSearch<ProductDocument, ProductBatch, ProductQuery>
  >({
    ...deps,
    shape: productShape,
    at: (generation) => createElasticsearchProductSearch({ ...deps, generation }),
    write: async (writes, { upserts }, loading) => {
      if (upserts.length === 0) return 'nothing'
      const refresh = !loading && upserts.length < refreshBelow
      await writeDocuments(engine, writes, itemsOf(upserts), { refresh })
      return refresh ? 'searchable' : 'written'
    },
  })
  return {
    ...collection,
    scan: createElasticsearchScan({ ...deps, ...collection, indexed: indexedProduct }),
    amend: createElasticsearchAmend({
      ...deps,
      ...collection,
      idOf: (document) => document.sku,
      indexed: indexedProduct,
    }),
    load: async (skus) => {
      const index = await collection.target()
      const found = await readDocuments<{ document: ProductDocument }>(engine, index, skus, ['document'])
      return new Map(
        found.flatMap(({ _id, _version, _source }) =>
          _source ? [[_id, { version: versionOf(_version), document: _source.document }] as const] : [],
        ),
      )
    },
    search: async (query) => {
      const question = parseQuestion(query.q)
      if (question.terms.length === 0) return []
      const index = await collection.target()
      for (const depth of depths) {
        const [found = []] = await candidates<ProductDocument>(index, [{ query: productQuery(question, depth, query) }])
        const hits = rankProducts(question, found, query.limit)
        if (hits.length > 0) return hits
      }
      return []
    },
  }
}
