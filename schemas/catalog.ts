import { type CommandOf, type EventOf, Price, Sku, strict, Timestamp, text } from './primitives.ts'

const description = text(0, 2_000)
const product = { sku: Sku, name: text(1, 200), description, brand: text(1, 100), category: text(1, 100), price: Price }

/** Events of `product-<sku>`. */
export const catalogEvents = {
  ProductRegistered: strict({ ...product, registeredAt: Timestamp }),
  ProductRepriced: strict({ sku: Sku, price: Price, previousPrice: Price, repricedAt: Timestamp }),
}
export type CatalogEvent = EventOf<typeof catalogEvents>

export const catalogCommands = {
  RegisterProduct: strict(product),
  RepriceProduct: strict({ sku: Sku, price: Price }),
}
export type CatalogCommand = CommandOf<typeof catalogCommands>
