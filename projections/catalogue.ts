import type { CatalogEvent } from '../schemas/catalog.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { type RowTable, rowEffect } from './row-fold.ts'

/** A product as the catalogue shows it. `price_amount` in minor units of `currency`. */
export interface ProductRow {
  readonly sku: string
  readonly name: string
  readonly description: string
  readonly brand: string
  readonly category: string
  readonly price_amount: number
  readonly currency: string
  readonly registered_at: string
  readonly updated_at: string
}

const table: RowTable = {
  table: 'products',
  key: 'sku',
  columns: {
    sku: 'text',
    name: 'text',
    description: 'text',
    brand: 'text',
    category: 'text',
    price_amount: 'bigint',
    currency: 'text',
    registered_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
}

type Recorded = RecordedEvent<CatalogEvent>

/**
 * What an event makes of a product's row.
 *
 * @throws Error when the stream does not begin with ProductRegistered
 */
export const evolve = (row: ProductRow | undefined, event: CatalogEvent): ProductRow => {
  switch (event.type) {
    case 'ProductRegistered': {
      const { price, registeredAt, ...product } = event.data
      const { amount, currency } = price
      return { ...product, price_amount: amount, currency, registered_at: registeredAt, updated_at: registeredAt }
    }
    case 'ProductRepriced': {
      if (!row) throw new Error(`product ${event.data.sku} has a new price but was never registered`)
      const { amount, currency } = event.data.price
      return { ...row, price_amount: amount, currency, updated_at: event.data.repricedAt }
    }
  }
}

/** The products on sale, for filters and facets. */
export const catalogue: PostgresProjection<CatalogEvent['type']> = {
  name: 'catalogue',
  version: 1,
  partitionedByStream: true,
  begins: ['ProductRegistered'],
  handles: ['ProductRegistered', 'ProductRepriced'],
  ddl: loadDdl(new URL('catalogue.sql', import.meta.url)),
  apply: rowEffect<ProductRow, Recorded, Recorded, undefined>({
    table,
    keyOf: (event) => event.data.sku,
    keyOfRow: (row) => row.sku,
    prepare: async () => undefined,
    evolve,
  }),
}
