import type { estypes } from '@elastic/elasticsearch'
import { checkpointMapping } from './elasticsearch-checkpoints.ts'
import type { IndexShape } from './elasticsearch-generations.ts'
import { orderWords } from './order-ranking.ts'
import type { OrderDocument } from './search-index.ts'

// Ids and words are asked for by how they begin and by likeness, and orders come newest first: nothing is scored.
const exact: estypes.MappingProperty = { type: 'keyword', ignore_above: 1_000, doc_values: false }

/** What is indexed of an order. Raise the version in the index's name whenever this changes. */
export const orderShape: IndexShape = {
  mappings: {
    dynamic: 'strict',
    properties: {
      ...checkpointMapping,
      ids: exact,
      person: exact,
      products: exact,
      codes: exact,
      status: exact,
      placed_at: { type: 'date' },
      /** The key that the person was sealed under: what an erasure finds orders by. */
      person_key: exact,
      /** A key that was destroyed, in a document of its own. */
      erased_key: exact,
      document: { type: 'object', enabled: false },
    },
  },
}

/** An order as it is indexed. */
export const indexedOrder = (document: OrderDocument) => {
  const words = orderWords(document)
  return {
    ids: words.ids,
    person: [...new Set(words.person)],
    products: [...new Set(words.products)],
    codes: [...new Set(words.codes)],
    status: document.status,
    placed_at: document.placedAt,
    ...(document.person ? { person_key: document.person.keyId } : {}),
    document,
  }
}
