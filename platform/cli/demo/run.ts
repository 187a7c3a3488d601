import { setTimeout as sleep } from 'node:timers/promises'
import type { Platform } from '../../compose.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { createScreen, type Snapshot } from './screen.ts'
import { articles } from './shop.ts'
import { shop, type Traffic } from './shoppers.ts'
import { openWarehouse, type Warehouse } from './warehouse.ts'

export interface DemoOptions {
  /** Undefined: until Ctrl-C. */
  readonly orders: number | undefined
  readonly ratePerSecond: number
  /** One JSON summary as the last line of standard output, and no pictures. */
  readonly json: boolean
  /** Aborted by Ctrl-C: no new shoppers, the open orders are brought to their end, the books are audited. */
  readonly closing: AbortSignal
}

/** How long the open orders may take to reach their end after the last shopper has left. */
const settleTimeoutMs = 120_000

const stockShelves = async (api: ApiClient, orders: number): Promise<void> => {
  await Promise.all(
    articles.map(async ({ product, stockPerHundredOrders }) => {
      const registered = await api.write('POST', '/v1/products', product)
      if (registered.status !== 201 && registered.status !== 200)
        throw new Error(`the shop could not register ${product.sku}: ${JSON.stringify(registered.body)}`)
      const units = Math.max(1, Math.ceil((stockPerHundredOrders * orders) / 100))
      const received = await api.write('POST', `/v1/products/${product.sku}/stock`, { receive: units })
      if (received.status >= 300)
        throw new Error(`the shop could not stock ${product.sku}: ${JSON.stringify(received.body)}`)
    }),
  )
}

interface Place {
  readonly key: string
  readonly name: string | null
  readonly units: number
  readonly revenue: { readonly amount: number; readonly currency: string } | null
}

const bestSellers = async (api: ApiClient): Promise<Snapshot['best']> => {
  const { body } = await api.get('/v1/leaderboards/products?by=revenue&window=all&limit=5')
  return ((body.places ?? []) as Place[]).map(({ key, name, units, revenue }) => ({
    name: name ?? key,
    units: String(units),
    revenue: revenue ? `${(revenue.amount / 100).toFixed(2)} ${revenue.currency}` : '',
  }))
}

const countStatuses = (statuses: ReadonlyMap<string, string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const status of statuses.values()) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** Waits until every order of the run has been delivered or cancelled, its fulfilment has ended and every read model shows it. */
const settle = async (platform: Platform, warehouse: Warehouse, traffic: Traffic): Promise<void> => {
  const deadline = Date.now() + settleTimeoutMs
  const ended = new Set(['delivered', 'cancelled'])
  const pendingOrders = () => traffic.acknowledged.filter((id) => !ended.has(warehouse.statuses.get(id) ?? '')).length
  while (Date.now() < deadline) {
    if (pendingOrders() === 0 && warehouse.busy() === 0 && (await platform.fulfilmentsEnded())) break
    await sleep(50)
  }
  await platform.caughtUp(Math.max(1_000, deadline - Date.now()))
}

/**
 * A day in a shop: fill the shelves, let shoppers order, pay, change their mind, ship what was confirmed, and at the end
 * audit the books. Returns whether the audit was clean.
 */
export const runDemo = async (platform: Platform, options: DemoOptions): Promise<boolean> => {
  const api = createApiClient(platform.url)
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1_000
  const traffic: Traffic = { acknowledged: [], refused: new Map(), changedTheirMind: 0 }
  await stockShelves(api, options.orders ?? 1_000)
  const warehouse = await openWarehouse(platform.url, api)
  const screen = options.json ? undefined : createScreen(process.stdout)
  if (screen) for (const [port, engine] of Object.entries(platform.engines)) console.log(`${port.padEnd(16)} ${engine}`)

  const looking = new AbortController()
  const look = async () => {
    while (screen && !looking.signal.aborted) {
      screen.show({
        seconds: seconds(),
        target: options.orders,
        acknowledged: traffic.acknowledged.length,
        refused: [...traffic.refused.values()].reduce((sum, count) => sum + count, 0),
        byStatus: countStatuses(warehouse.statuses),
        projections: platform.projections(),
        best: await bestSellers(api),
        head: await platform.head(),
        url: platform.url,
      })
      await sleep(process.stdout.isTTY ? 250 : 1_000, undefined, { signal: looking.signal }).catch(() => undefined)
    }
  }
  const looker = look()

  await shop({
    api,
    orders: options.orders ?? Number.POSITIVE_INFINITY,
    ratePerSecond: options.ratePerSecond,
    signal: options.closing,
    traffic,
  })
  await settle(platform, warehouse, traffic)
  const took = seconds()
  warehouse.close()
  looking.abort()
  await looker
  screen?.done()

  const audit = await platform.audit(traffic.acknowledged)
  const byEndState: Record<string, number> = {}
  for (const id of traffic.acknowledged) {
    const order = audit.fold.orders.get(id)
    const state = order === undefined ? 'lost' : order.cancelReason ? `cancelled:${order.cancelReason}` : order.status
    byEndState[state] = (byEndState[state] ?? 0) + 1
  }
  const summary = {
    orders: traffic.acknowledged.length,
    byEndState,
    events: audit.events,
    seconds: Math.round(took * 100) / 100,
    engines: platform.engines,
    audit: audit.report,
  }
  for (const sentence of [...warehouse.failures.slice(0, 20), ...audit.differences]) console.error(sentence)
  if (options.json) console.log(JSON.stringify(summary))
  else {
    console.log(`\n${summary.orders} orders in ${summary.seconds} s, ${summary.events} events in the log`)
    for (const [state, count] of Object.entries(byEndState))
      console.log(`  ${state.padEnd(32)} ${String(count).padStart(6)}`)
    for (const [code, count] of traffic.refused)
      console.log(`  refused: ${code.padEnd(23)} ${String(count).padStart(6)}`)
    console.log(`audit: ${audit.report.clean ? 'clean' : `NOT CLEAN ${JSON.stringify(audit.report)}`}`)
  }
  return (
    audit.report.clean && (options.orders === undefined || options.closing.aborted || summary.orders === options.orders)
  )
}
