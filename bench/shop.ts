import { decodeEvent } from '../schemas/decoding.ts'
import { namesOf } from '../schemas/stored-names.ts'
import type { OursWhole } from './ours-platform.ts'

/** Of a unit of anything, in minor units. */
export const price = 1999

/** The body of a request that registers a product. */
export const productOf = (sku: string, currency = 'EUR') => ({
  ...{ sku, name: sku, description: 'On sale', brand: 'Acme', category: 'phones' },
  price: { amount: price, currency },
})

/** Registers a product and takes a million units of it into stock. */
export const stockUp = async ({ post }: OursWhole, sku: string, currency?: string): Promise<void> => {
  await post('/v1/products', productOf(sku, currency))
  await post(`/v1/products/${sku}/stock`, { receive: 1_000_000 })
}

/** The body of a request for one unit of each. */
export const orderOf = (index: number, skus: readonly string[], name = 'Ada Shopper') => ({
  customer: { id: `customer-${index % 1000}`, name, email: 'ada.shopper@example.com' },
  shippingAddress: { street: '1 Market Street', city: 'Berlin', postalCode: '10115', country: 'DE' },
  lines: skus.map((sku) => ({ sku, quantity: 1 })),
  paymentToken: 'tok_approve',
})

/** Tells of what happened to orders, off the log, until the signal aborts. */
export const watchOrders = async ({ store }: OursWhole, signal: AbortSignal) => {
  const happened = new Map<string, () => void>()
  const types = namesOf('OrderConfirmed', 'FulfilmentEnded')
  const after = await store.head()
  const follow = async (): Promise<void> => {
    for await (const { events } of store.subscribe({ after, types, signal }))
      for (const event of events.map(decodeEvent))
        if (event.type === 'OrderConfirmed' || event.type === 'FulfilmentEnded') {
          const key = `${event.type} ${event.data.orderId}`
          const waiting = happened.get(key)
          if (waiting) waiting()
          else happened.set(key, () => undefined)
        }
  }
  return {
    following: follow(),
    until: (type: 'OrderConfirmed' | 'FulfilmentEnded', orderId: string): Promise<void> =>
      new Promise((resolve) => {
        const key = `${type} ${orderId}`
        if (happened.has(key)) resolve()
        else happened.set(key, resolve)
      }),
  }
}
