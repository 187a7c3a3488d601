import type { ProductDocument, ProductSearch, Versioned } from '../platform/search-index.ts'
import type { CatalogEvent } from '../schemas/catalog.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { foldDocuments } from './document-fold.ts'
import type { Projection } from './projection.ts'
import { storeGenerations, storeSink } from './store-sink.ts'

/** @throws Error when the stream does not begin with ProductRegistered */
const evolve = (document: ProductDocument | undefined, event: CatalogEvent): ProductDocument => {
  switch (event.type) {
    case 'ProductRegistered': {
      const { registeredAt: _, ...product } = event.data
      return product
    }
    case 'ProductRepriced':
      if (!document) throw new Error(`product ${event.data.sku} has a new price but was never registered`)
      return { ...document, price: event.data.price }
  }
}

const isCatalogEvent = (event: RecordedEvent): event is RecordedEvent<CatalogEvent> =>
  event.type === 'ProductRegistered' || event.type === 'ProductRepriced'

/** Products in the search index. */
export const productSearch = (deps: { readonly index: ProductSearch }): Projection => {
  const name = 'product_search'
  const sinkOf = (index: ProductSearch) =>
    storeSink(
      name,
      index,
      async (events): Promise<{ upserts: readonly Versioned<ProductDocument>[] }> => ({
        upserts: await foldDocuments(index, events.filter(isCatalogEvent), (event) => event.data.sku, evolve),
      }),
    )
  return {
    name,
    version: 1,
    begins: namesOf('ProductRegistered'),
    types: namesOf('ProductRegistered', 'ProductRepriced'),
    sink: sinkOf(deps.index),
    generations: storeGenerations(deps.index.generations, sinkOf),
  }
}
