import type { estypes } from '@elastic/elasticsearch'
import { checkpointMapping } from './elasticsearch-checkpoints.ts'
import type { IndexShape } from './elasticsearch-generations.ts'
import { productWords } from './product-ranking.ts'
import type { ProductDocument } from './search-index.ts'
import { fold } from './text-analysis.ts'

// Words come analysed (text-analysis.ts), the same as on every engine, and are only cut at the spaces between them.
const words: estypes.MappingProperty = { type: 'text', analyzer: 'whitespace', index_options: 'freqs' }
const exact: estypes.MappingProperty = { type: 'keyword' }

/** What is indexed of a product. Raise the version in the index's name whenever this changes. */
export const productShape: IndexShape = {
  mappings: {
    dynamic: 'strict',
    properties: {
      ...checkpointMapping,
      sku: exact,
      brand: exact,
      category: exact,
      accessory: { type: 'boolean' },
      itself: words,
      kind: words,
      made_for: words,
      description: words,
      compounds: words,
      document: { type: 'object', enabled: false },
    },
  },
}

/** A product as it is indexed. */
export const indexedProduct = (document: ProductDocument) => {
  const found = productWords(document)
  return {
    sku: fold(document.sku),
    brand: fold(document.brand),
    category: fold(document.category),
    accessory: found.accessory,
    itself: found.itself.join(' '),
    kind: [...found.brand, ...found.category].join(' '),
    made_for: found.madeFor.join(' '),
    description: found.description().join(' '),
    compounds: found.compounds.join(' '),
    document,
  }
}
