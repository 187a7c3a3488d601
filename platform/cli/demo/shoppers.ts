import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from './api-client.ts'
import { articles } from './shop.ts'

/** What became of the requests of a run, as its shoppers see it. */
export interface Traffic {
  /** Order ids that the shop acknowledged. */
  readonly acknowledged: string[]
  /** Requests that were refused, by code; `total` of a changed price and the like. */
  readonly refused: Map<string, number>
  changedTheirMind: number
}

const names = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Margaret', 'Alan', 'Radia', 'Tony', 'Frances']
const cities = ['Berlin', 'Lisbon', 'Utrecht', 'Vienna', 'Ghent', 'Turin']

/** Most cards are good; some decline, and some behave as cards do on a bad day. The sum of the shares is 1. */
const cards: readonly (readonly [token: string, share: number])[] = [
  ['tok_approve', 0.8],
  ['tok_decline', 0.1],
  ['tok_timeout_charged', 0.03],
  ['tok_late', 0.03],
  ['tok_fail_2', 0.04],
]
const mindChangers = 0.06

const pick = <T>(weighted: readonly (readonly [T, number])[]): T => {
  let left = Math.random() * weighted.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [value, weight] of weighted) {
    left -= weight
    if (left < 0) return value
  }
  return (weighted.at(-1) as readonly [T, number])[0]
}
const wishes = articles.map((article) => [article.product.sku, article.appeal] as const)

const basket = (): { sku: string; quantity: number }[] => {
  const lines = new Map<string, number>()
  const size = 1 + Math.floor(Math.random() * 3)
  for (let index = 0; index < size; index += 1) lines.set(pick(wishes), Math.random() < 0.85 ? 1 : 2)
  return [...lines].map(([sku, quantity]) => ({ sku, quantity }))
}

const shopOnce = async (api: ApiClient, traffic: Traffic, changes: Set<Promise<void>>): Promise<void> => {
  const number = Math.floor(Math.random() * 40)
  const name = names[number % names.length] ?? 'Ada'
  const reply = await api.write('POST', '/v1/orders', {
    customer: {
      id: `shopper-${number}`,
      name: `${name} Shopper`,
      email: `${name.toLowerCase()}.${number}@example.com`,
    },
    shippingAddress: {
      street: `${number + 1} Market Street`,
      city: cities[number % cities.length],
      postalCode: '10115',
      country: 'DE',
    },
    lines: basket(),
    paymentToken: pick(cards),
  })
  if (reply.status !== 201 || typeof reply.body.orderId !== 'string') {
    const code = String(reply.body.code ?? reply.status)
    traffic.refused.set(code, (traffic.refused.get(code) ?? 0) + 1)
    return
  }
  const { orderId } = reply.body
  traffic.acknowledged.push(orderId)
  if (Math.random() >= mindChangers) return
  const change = (async () => {
    await sleep(Math.random() * 300)
    const cancelled = await api.write('POST', `/v1/orders/${orderId}/cancel`, {})
    if (cancelled.status === 200) traffic.changedTheirMind += 1
  })()
  changes.add(change)
}

/**
 * Shoppers who arrive at a steady rate until there are enough orders or the signal aborts. A slow shop does not make
 * them queue without bound: at most 200 wait at the till.
 *
 * @param ratePerSecond arrivals per second
 */
export const shop = async (options: {
  readonly api: ApiClient
  readonly orders: number
  readonly ratePerSecond: number
  readonly signal: AbortSignal
  readonly traffic: Traffic
}): Promise<void> => {
  const { api, traffic, signal } = options
  const started = performance.now()
  const atTheTill = new Set<Promise<void>>()
  const changes = new Set<Promise<void>>()
  for (let arrival = 0; arrival < options.orders && !signal.aborted; arrival += 1) {
    const dueIn = started + (arrival / options.ratePerSecond) * 1_000 - performance.now()
    if (dueIn > 1) await sleep(dueIn, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) break
    if (atTheTill.size >= 200) await Promise.race(atTheTill)
    const shopper = shopOnce(api, traffic, changes).finally(() => atTheTill.delete(shopper))
    atTheTill.add(shopper)
  }
  await Promise.all(atTheTill)
  await Promise.all(changes)
}
