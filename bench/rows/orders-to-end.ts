import { decodeEvent } from '../../schemas/codec.ts'
import { namesOf } from '../../schemas/stored-names.ts'
import type { Contender, Row } from '../contender.ts'
import { drive } from '../measure.ts'
import { type OursWhole, openWholePlatform } from '../ours-platform.ts'

const callers = 200
const products = Array.from({ length: 100 }, (_, index) => `PRODUCT-${index}`)

const stockUp = ({ post }: OursWhole): Promise<unknown> =>
  Promise.all(
    products.map(async (sku) => {
      const price = { amount: 1999, currency: 'EUR' }
      await post('/v1/products', { sku, name: sku, description: 'On sale', brand: 'Acme', category: 'phones', price })
      await post(`/v1/products/${sku}/stock`, { receive: 1_000_000 })
    }),
  )

const requestOf = (index: number) => ({
  customer: { id: `customer-${index % 1000}`, name: 'Ada Shopper', email: 'ada.shopper@example.com' },
  shippingAddress: { street: '1 Market Street', city: 'Berlin', postalCode: '10115', country: 'DE' },
  lines: [index, index * 7 + 1].map((one) => ({ sku: products[one % products.length], quantity: 1 })),
  paymentToken: 'tok_approve',
})

/** Tells of what happened to orders, off the log. */
const watch = async ({ store }: OursWhole, signal: AbortSignal) => {
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

const ours: Contender = {
  count: 2_000,
  warmUp: 500,
  open: async (bench) => {
    const whole = await openWholePlatform(bench)
    await stockUp(whole)
    return {
      run: async (count) => {
        const over = new AbortController()
        const { until, following } = await watch(whole, over.signal)
        const before = await whole.store.head()
        const begun = performance.now()
        const driven = await drive({ callers, count, seconds: 30 }, async (index) => {
          const { orderId } = await whole.post('/v1/orders', requestOf(index))
          await until('OrderConfirmed', String(orderId))
          await whole.post(`/v1/orders/${orderId}/ship`, { carrier: 'DHL', trackingId: `T${index}` })
          await until('FulfilmentEnded', String(orderId))
        })
        if (!(await whole.platform.caughtUp(30_000))) throw new Error('the read models did not catch up')
        const seconds = (performance.now() - begun) / 1000
        over.abort()
        await following
        const events = Number((await whole.store.head()) - before) / driven.done
        const behind = Math.round((seconds - driven.seconds) * 1000)
        return {
          ...driven,
          seconds,
          note: `${events.toFixed(1)} events per order; the read models were there ${behind} ms after the last order`,
        }
      },
      close: whole.close,
    }
  },
}

export const ordersToEnd: Row = {
  name: 'orders-to-end',
  unit: 'orders/s',
  compares:
    `the whole platform in one process, the shoppers in it too: ${callers} at once place an order of 2 lines over HTTP, ` +
    'ship it once it is confirmed, and wait for FulfilmentEnded on the log (stock and payment taken); over when all have ' +
    'and every read model has reached the head of the log. p50/p99 per order, from its request to its end; no peer.',
  ours,
}
