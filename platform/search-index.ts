import type { CheckpointedStore, StoreBatch, StoreGenerations } from './checkpointed-store.ts'
import type { Standing } from './standing.ts'

/** A product as the search shows it. */
export interface ProductDocument {
  readonly sku: string
  readonly name: string
  readonly description: string
  readonly brand: string
  readonly category: string
  readonly price: { readonly amount: number; readonly currency: string }
}

/** The part of an order that identifies a person, and the key that it was sealed under. */
export interface OrderPerson {
  readonly keyId: string
  readonly name: string
  readonly email: string
}

/** An order as the search shows it. */
export interface OrderDocument {
  readonly orderId: string
  readonly customerId: string
  readonly status: 'placed' | 'confirmed' | 'shipped' | 'delivered' | 'cancelled'
  readonly placedAt: string
  readonly total: { readonly amount: number; readonly currency: string }
  readonly lines: readonly { readonly sku: string; readonly name: string; readonly quantity: number }[]
  readonly carrier: string | null
  readonly trackingId: string | null
  /** Null once the customer has been forgotten. */
  readonly person: OrderPerson | null
}

export interface Versioned<Document> {
  /** Position of the last event in the document: of two, the higher one stays. */
  readonly version: bigint
  readonly document: Document
}

interface IndexBatch<Document> extends StoreBatch {
  /** One per SKU or order at most. */
  readonly upserts: readonly Versioned<Document>[]
}

export type ProductBatch = IndexBatch<ProductDocument>

export interface OrderBatch extends IndexBatch<OrderDocument> {
  /**
   * Keys that were destroyed. No document keeps or ever gets again a person sealed under one of them, not even from a
   * worker that opened it before the key was destroyed and writes it after.
   */
  readonly erasures: readonly { readonly customerId: string; readonly keyIds: readonly string[] }[]
}

export interface ProductQuery {
  /** Words as a person types them: "quoted" ones must stand together, the last one may be unfinished. */
  readonly q: string
  readonly limit: number
  /** Exact but for case and accents. */
  readonly category?: string
  readonly brand?: string
}

export interface OrderQuery {
  readonly q: string
  readonly limit: number
}

export interface SearchHit<Document> {
  /** SKU or order id. */
  readonly id: string
  /** Higher is better; comparable within one answer only. */
  readonly score: number
  readonly document: Document
  /** The product's or customer's name as HTML text, what matched in `<mark>`. */
  readonly highlight?: string
}

/** A document with what is wrong about how it is indexed. */
export interface ScannedDocument<Document> extends Versioned<Document> {
  readonly id: string
  /** Names of what the index holds beside the document and is not what the document makes of it. */
  readonly spoiled: readonly string[]
}

/** Documents as they were at one moment. */
export interface DocumentPortion<Document> extends Standing {
  /** Whether all of them stand where the consumer stood; otherwise some may have come farther meanwhile. */
  readonly exact: boolean
  readonly documents: readonly ScannedDocument<Document>[]
}

/** These documents, and some others at random. */
export interface DocumentPick {
  readonly ids: readonly string[]
  readonly random: number
}

/** One index: its checkpoint moves with its documents. */
export interface SearchCollection<Document, Batch extends StoreBatch, Query> extends CheckpointedStore<Batch> {
  readonly generations: StoreGenerations<SearchCollection<Document, Batch, Query>>
  /** The documents of these ids that exist, as they are now (not as last refreshed). */
  load(ids: readonly string[]): Promise<ReadonlyMap<string, Versioned<Document>>>
  /** The best hits first; of equal ones the order is fixed. */
  search(query: Query): Promise<readonly SearchHit<Document>[]>
  /**
   * Shows every document, or those that are picked, portion by portion, at least one; writers go on meanwhile.
   *
   * @throws ReadModelAbsent
   */
  scan(
    consumer: string,
    visit: (portion: DocumentPortion<Document>) => Promise<void>,
    pick?: DocumentPick,
  ): Promise<void>
  /**
   * Puts documents in the place of what is there under these ids, and removes what no document is given for. A newer
   * document that a writer has put there meanwhile stays.
   *
   * @param documents those that belong there; told where the consumer stands, which no writer changes before it is done
   * where the engine can keep them out
   */
  amend(
    consumer: string,
    ids: readonly string[],
    documents: (standing: Standing) => Promise<readonly Versioned<Document>[]>,
  ): Promise<void>
}

export type ProductSearch = SearchCollection<ProductDocument, ProductBatch, ProductQuery>
export type OrderSearch = SearchCollection<OrderDocument, OrderBatch, OrderQuery>

/**
 * Search over products and over orders. Engines find candidates; what is found and in which order is decided by the
 * analysis and ranking that all engines share (text-analysis.ts, product-ranking.ts, order-ranking.ts). Engine failures
 * are `EngineUnavailable`.
 */
export interface SearchIndex {
  readonly products: ProductSearch
  readonly orders: OrderSearch
  /**
   * Takes the persons under these keys, which were destroyed, out of every generation of the orders: the live one, the
   * one that is built and those that are kept. Harmless when repeated.
   */
  forget(keyIds: readonly string[]): Promise<void>
}
