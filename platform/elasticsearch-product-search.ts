import type { Database } from './database.ts'
import { type BulkItem, refreshBelow, writeDocuments } from './elasticsearch-bulk.ts'
import type { Candidates } from './elasticsearch-candidates.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { createElasticsearchCollection } from './elasticsearch-collection.ts'
import { indexedProduct, productShape } from './elasticsearch-product-documents.ts'
import { depths, productQuery } from './elasticsearch-product-query.ts'
import { readDocuments, versionOf } from './elasticsearch-reads.ts'
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
  readonly alias: string
}) => {
  const { engine, alias, candidates } = deps
  const collection = createElasticsearchCollection<ProductBatch>({
    ...deps,
    shape: productShape,
    write: async (writes, { upserts }) => {
      if (upserts.length === 0) return 'nothing'
      const refresh = upserts.length < refreshBelow
      await writeDocuments(engine, writes, itemsOf(upserts), { refresh })
      return refresh ? 'searchable' : 'written'
    },
  })
  return {
    ...collection,
    load: async (skus: readonly string[]) => {
      const found = await readDocuments<{ document: ProductDocument }>(engine, alias, skus, ['document'])
      return new Map(
        found.flatMap(({ _id, _version, _source }) =>
          _source ? [[_id, { version: versionOf(_version), document: _source.document }] as const] : [],
        ),
      )
    },
    search: async (query: ProductQuery) => {
      const question = parseQuestion(query.q)
      if (question.terms.length === 0) return []
      for (const depth of depths) {
        const [found = []] = await candidates<ProductDocument>(alias, [{ query: productQuery(question, depth, query) }])
        const hits = rankProducts(question, found, query.limit)
        if (hits.length > 0) return hits
      }
      return []
    },
  }
}
