import type { Contender, Row } from '../contender.ts'
import { drive } from '../measure.ts'
import { openWholePlatform } from '../ours-platform.ts'
import { orderOf, stockUp, watchOrders } from '../shop.ts'

const callers = 200
const products = Array.from({ length: 100 }, (_, index) => `PRODUCT-${index}`)

const ours: Contender = {
  count: 2_000,
  warmUp: 500,
  open: async (bench) => {
    const whole = await openWholePlatform(bench)
    await Promise.all(products.map((sku) => stockUp(whole, sku)))
    return {
      run: async (count) => {
        const over = new AbortController()
        const { until, following } = await watchOrders(whole, over.signal)
        const before = await whole.store.head()
        const begun = performance.now()
        const driven = await drive({ callers, count, seconds: 30 }, async (index) => {
          const skus = [index, index * 7 + 1].map((one) => products[one % products.length] ?? '')
          const { orderId } = await whole.post('/v1/orders', orderOf(index, skus))
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
