import type { CheckpointedStore, StoreBatch } from './checkpointed-store.ts'

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

/** One index: its checkpoint moves with its documents. */
export interface SearchCollection<Document, Batch extends StoreBatch, Query> extends CheckpointedStore<Batch> {
  /** The documents of these ids that exist, as they are now (not as last refreshed). */
  load(ids: readonly string[]): Promise<ReadonlyMap<string, Versioned<Document>>>
  /** The best hits first; of equal ones the order is fixed. */
  search(query: Query): Promise<readonly SearchHit<Document>[]>
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
}
