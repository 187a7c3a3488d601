import { setTimeout as pause } from 'node:timers/promises'
import { followLive } from './live-orders.ts'
import type { Answer, OursWhole } from './ours-platform.ts'
import { orderOf, price, productOf, stockUp, watchOrders } from './shop.ts'

/** A command over HTTP, and the read model in which its effect is looked for. */
export interface Watched {
  /** Of the read model. */
  readonly name: string
  /** Makes what so many commands need. */
  prepare?(commands: number): Promise<unknown>
  /** Sends the command; resolves with its acknowledgement, to what waits until its effect shows. */
  send(): Promise<() => Promise<unknown>>
}

/** Each is sold to, or counted by, one read model alone: every command changes its number by one. */
const skus = { any: 'SHELF', stock: 'STOCK', sales: 'SALES', board: 'BOARD' }
/** The pause between two questions: without one they would slow what they wait for. */
export const askAgainMs = 5
const patienceMs = 30_000

/** A word of letters like no other, so that a search that forgives typing errors finds one. */
const newWord = (): string =>
  Array.from({ length: 12 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join('')

/** A kind of command for each read model of a platform. */
export const watchedCommands = async (whole: OursWhole) => {
  const { get, post } = whole
  await stockUp(whole, skus.any)
  await stockUp(whole, skus.stock)
  await stockUp(whole, skus.sales, 'CHF')
  await stockUp(whole, skus.board, 'SEK')
  const over = new AbortController()
  const orders = await watchOrders(whole, over.signal)
  const live = await followLive(whole.platform.url)

  /** Asks until an answer shows it. */
  const until = async (path: string, shows: (answer: Answer) => boolean): Promise<void> => {
    const deadline = performance.now() + patienceMs
    while (!shows(await get(path))) {
      if (performance.now() > deadline) throw new Error(`GET ${path} did not show it within ${patienceMs} ms`)
      await pause(askAgainMs)
    }
  }
  const isThere = ({ status }: Answer): boolean => status === 200
  const place = async (sku: string, name?: string): Promise<string> =>
    String((await post('/v1/orders', orderOf(Math.floor(Math.random() * 1_000), [sku], name))).orderId)

  /** Orders that were placed and led on, to be the subjects of commands. */
  const reserve = (sku: string, leadOn: (orderId: string) => Promise<unknown>) => {
    const ready: string[] = []
    return {
      fill: async (count: number): Promise<void> => {
        for (let left = count; left > 0; left -= 20)
          await Promise.all(
            Array.from({ length: Math.min(20, left) }, async () => {
              const orderId = await place(sku)
              await leadOn(orderId)
              ready.push(orderId)
            }),
          )
      },
      take: (): string => {
        const orderId = ready.pop()
        if (orderId === undefined) throw new Error('no order is left')
        return orderId
      },
    }
  }
  const confirmed = (orderId: string): Promise<void> => orders.until('OrderConfirmed', orderId)
  const paid = async (orderId: string): Promise<void> => {
    await confirmed(orderId)
    await post(`/v1/orders/${orderId}/ship`, { carrier: 'DHL', trackingId: 'T1' })
    await orders.until('FulfilmentEnded', orderId)
  }
  const toRefund = reserve(skus.any, paid)
  const toSee = { sales: reserve(skus.sales, confirmed), board: reserve(skus.board, confirmed) }
  const sales = '/v1/sales?currency=CHF'
  const board = '/v1/leaderboards/products?by=revenue&window=all&currency=SEK&limit=1'
  const cancelledIn = ({ body }: Answer): number =>
    (body.days as { cancelledOrderCount: number }[]).reduce((sum, day) => sum + day.cancelledOrderCount, 0)
  const soldOnBoard = ({ body }: Answer): number => (body.places?.[0]?.revenue.amount ?? 0) / price
  const sent = { stock: 0, sales: 0, board: 0 }
  let sold = 0

  const watched: Watched[] = [
    {
      // POST /v1/orders, then GET /v1/orders/:orderId
      name: 'order_details',
      send: async () => {
        const orderId = await place(skus.any)
        return () => until(`/v1/orders/${orderId}`, isThere)
      },
    },
    {
      // POST /v1/orders, then GET /v1/orders/:orderId/timeline
      name: 'order_timeline',
      send: async () => {
        const orderId = await place(skus.any)
        return () => until(`/v1/orders/${orderId}/timeline`, isThere)
      },
    },
    {
      // POST /v1/orders, then GET /v1/search/orders
      name: 'order_search',
      send: async () => {
        const name = newWord()
        const orderId = await place(skus.any, `Ada ${name}`)
        const found = ({ body }: Answer) => body.hits?.[0]?.order.orderId === orderId
        return () => until(`/v1/search/orders?q=${name}`, found)
      },
    },
    {
      // POST /v1/orders, then event on /v1/live
      name: 'live feed',
      send: async () => {
        const orderId = await place(skus.any)
        return () => live.placed(orderId)
      },
    },
    {
      // POST /v1/orders/:orderId/refunds, then GET /v1/payments/:orderId
      name: 'payments',
      prepare: toRefund.fill,
      send: async () => {
        const orderId = toRefund.take()
        const amount = { amount: 1, currency: 'EUR' }
        await post(`/v1/orders/${orderId}/refunds`, { amount, reason: 'a scratch' })
        return () => until(`/v1/payments/${orderId}`, ({ body }) => body.refunded?.amount === 1)
      },
    },
    {
      // POST /v1/orders/:orderId/cancel, then GET /v1/sales
      name: 'sales',
      prepare: toSee.sales.fill,
      send: async () => {
        sent.sales += 1
        const cancelled = sent.sales
        await post(`/v1/orders/${toSee.sales.take()}/cancel`, {})
        return () => until(sales, (answer) => cancelledIn(answer) >= cancelled)
      },
    },
    {
      // POST /v1/orders/:orderId/cancel, then GET /v1/leaderboards/products
      name: 'leaderboards',
      prepare: async (commands) => {
        await toSee.board.fill(commands)
        sold += commands
        await until(board, (answer) => soldOnBoard(answer) === sold - sent.board)
      },
      send: async () => {
        sent.board += 1
        const cancelled = sent.board
        await post(`/v1/orders/${toSee.board.take()}/cancel`, {})
        return () => until(board, (answer) => soldOnBoard(answer) <= sold - cancelled)
      },
    },
    {
      // POST /v1/products/:sku/stock, then GET /v1/stock/:sku
      name: 'stock_levels',
      send: async () => {
        sent.stock += 1
        const received = sent.stock
        await post(`/v1/products/${skus.stock}/stock`, { receive: 1 })
        return () => until(`/v1/stock/${skus.stock}`, ({ body }) => body.onHandUnits >= 1_000_000 + received)
      },
    },
    {
      // POST /v1/products, then GET /v1/products/:sku
      name: 'catalogue',
      send: async () => {
        const sku = newWord()
        await post('/v1/products', productOf(sku))
        return () => until(`/v1/products/${sku}`, isThere)
      },
    },
    {
      // POST /v1/products, then GET /v1/search/products
      name: 'product_search',
      send: async () => {
        const sku = newWord()
        await post('/v1/products', productOf(sku))
        return () => until(`/v1/search/products?q=${sku}`, ({ body }) => body.hits?.[0]?.product.sku === sku)
      },
    },
  ]
  return {
    watched,
    close: async (): Promise<void> => {
      live.close()
      over.abort()
      await orders.following
    },
  }
}
