import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './ask.ts'
import { createShopClient, placeOrder, type ShopClient } from './shop-client.ts'

/** Shoppers that order one after the other, whatever happens to the platform, until they are sent home. */
export interface BusyShop {
  readonly shop: ShopClient
  /** Ids of the orders that were acknowledged so far. */
  readonly acknowledged: readonly string[]
  /** Every 503 that was answered meanwhile; each was repeated. */
  readonly refusals: readonly Answer[]
  /** Sends the shoppers home; resolves when each has the answer to its last order. */
  close(): Promise<void>
}

const cards = ['tok_approve', 'tok_approve', 'tok_decline', 'tok_approve', 'tok_fail_1']

/** @param everyMs how long a shopper looks around between two orders */
export const openBusyShop = async (url: string, shoppers = 6, everyMs = 150): Promise<BusyShop> => {
  const refusals: Answer[] = []
  const shop = createShopClient(url, (answer) => {
    if (answer.status === 503) refusals.push(answer)
  })
  const sku = `cup-${randomUUID().slice(0, 8)}`
  await shop.stock(sku, 100_000)
  const acknowledged: string[] = []
  let open = true
  const going = Promise.all(
    Array.from({ length: shoppers }, async (_, shopper) => {
      for (let index = shopper; open; index += 1) {
        const paymentToken = cards[index % cards.length] ?? 'tok_approve'
        const body = placeOrder([{ sku, quantity: 1 }], { customerId: `shopper-${shopper}`, paymentToken })
        const answer = await shop.write('POST', '/v1/orders', body)
        if (answer.status !== 201) throw new Error(`an order was refused: ${JSON.stringify(answer.body)}`)
        acknowledged.push(answer.body.orderId)
        await sleep(everyMs)
      }
    }),
  )
  going.catch(() => undefined)
  return {
    shop,
    acknowledged,
    refusals,
    close: async () => {
      open = false
      await going
    },
  }
}
