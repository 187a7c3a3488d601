import type { CatalogCommand, CatalogEvent } from '../schemas/catalog.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { Money } from '../schemas/primitives.ts'
import type { Decider } from './decider.ts'

export type Product =
  | { readonly status: 'none' }
  | {
      readonly status: 'registered'
      readonly sku: string
      readonly name: string
      readonly description: string
      readonly brand: string
      readonly category: string
      readonly price: Money
      /** As registered; a repeat of the registration is recognised by it after the price has changed. */
      readonly firstPrice: Money
    }

const samePrice = (one: Money, other: Money) => one.amount === other.amount && one.currency === other.currency

const evolve = (product: Product, event: CatalogEvent): Product => {
  switch (event.type) {
    case 'ProductRegistered': {
      const { registeredAt: _, ...particulars } = event.data
      return { status: 'registered', ...particulars, firstPrice: event.data.price }
    }
    case 'ProductRepriced':
      return product.status === 'none' ? product : { ...product, price: event.data.price }
    default:
      event satisfies never
      return product
  }
}

const decide = (command: CatalogCommand, product: Product): readonly CatalogEvent[] => {
  const { sku, at } = command
  switch (command.type) {
    case 'RegisterProduct': {
      const { name, description, brand, category, price } = command
      if (product.status === 'none')
        return [
          { type: 'ProductRegistered', data: { sku, name, description, brand, category, price, registeredAt: at } },
        ]
      const same =
        product.name === name &&
        product.description === description &&
        product.brand === brand &&
        product.category === category &&
        samePrice(product.firstPrice, price)
      if (!same) throw new CommandRejected('product-already-registered', { sku })
      return []
    }
    case 'RepriceProduct': {
      if (product.status === 'none') throw new CommandRejected('product-not-found', { sku })
      const { price } = command
      if (samePrice(product.price, price)) return []
      return [{ type: 'ProductRepriced', data: { sku, price, previousPrice: product.price, repricedAt: at } }]
    }
    default:
      command satisfies never
      return []
  }
}

/** `product-<sku>`: what the shop sells, and for how much. */
export const catalogDecider: Decider<CatalogCommand, Product, CatalogEvent> = {
  name: 'product',
  initial: { status: 'none' },
  evolve,
  decide,
  opens: (command) => command.type === 'RegisterProduct',
  snapshot: { shape: 1, pack: (product) => product, unpack: (packed) => packed as Product },
}
