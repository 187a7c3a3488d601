import { expect } from 'vitest'
import { eventually } from './eventually.ts'
import type { LiveWatch } from './live-watch.ts'
import { expectRefusal } from './refusals.ts'
import type { Server } from './servers.ts'
import { createShopClient, type Method, placeOrder, send } from './shop-client.ts'

const board = '/v1/leaderboards/products?by=units&window=all'
const searches = ['/v1/search/products?q=cup', '/v1/search/orders?q=ada']
const ofTables = ['/v1/orders', '/v1/products', '/v1/sales', '/v1/stock/kept']

/** The checks of `/health/ready` that name an engine: what docs/engines.md says. */
export const namedBy: Readonly<Record<Server, readonly string[]>> = {
  redis: ['redis'],
  elasticsearch: ['elasticsearch'],
  kafka: ['kafka', 'relay'],
  postgres: ['postgresql'],
}

/**
 * The table of docs/engines.md, a row each: everything that has to do with the engine that is away says so, and
 * everything else goes on. A product `kept` is for sale.
 */
export const whileAway = (url: string, live: LiveWatch): Readonly<Record<Server, () => Promise<void>>> => {
  const ask = (method: Method, path: string, body?: unknown, headers?: Record<string, string>) =>
    send(url, method, path, body, headers)
  const order = placeOrder([{ sku: 'kept', quantity: 1 }])

  const serves = async (...paths: readonly string[]): Promise<void> => {
    const answers = await Promise.all(paths.map(async (path) => [path, (await ask('GET', path)).status]))
    expect(answers).toEqual(paths.map((path) => [path, 200]))
  }
  const refuses = async (engine: string, ...paths: readonly string[]): Promise<void> => {
    for (const answer of await Promise.all(paths.map((path) => ask('GET', path)))) expectRefusal(answer, { engine })
  }
  /** Commands and the live feed go on. */
  const takesAnOrder = async () => {
    const placed = await ask('POST', '/v1/orders', order)
    expect(placed.status).toBe(201)
    const id = String(placed.body.orderId)
    await live.events('OrderPlaced', [id])
    return { id, token: { 'Consistency-Token': placed.headers.get('consistency-token') ?? '' } }
  }
  /** Sagas and the read models of orders go on, too. */
  const leadsAnOrder = async (): Promise<void> => {
    const { id } = await takesAnOrder()
    await createShopClient(url).orderIn(id, 'confirmed')
    await live.events('OrderConfirmed', [id])
  }

  return {
    redis: async () => {
      await refuses('Redis', board)
      await serves(...ofTables, ...searches)
      await leadsAnOrder()
    },
    elasticsearch: async () => {
      await refuses('Elasticsearch', ...searches)
      await serves(...ofTables, board)
      await leadsAnOrder()
    },
    kafka: async () => {
      await serves(...ofTables, ...searches, board)
      const { id, token } = await takesAnOrder()
      // What is derived from the order waits, and says so.
      for (const path of [...ofTables, ...searches]) {
        const { status, headers } = await ask(
          'GET',
          `${path}${path.includes('?') ? '&' : '?'}waitMs=0`,
          undefined,
          token,
        )
        expect([path, status, headers.get('consistency')]).toEqual([path, 200, 'stale'])
      }
      const unseen = await ask('GET', `/v1/orders/${id}?waitMs=0`, undefined, token)
      expectRefusal(unseen, { code: 'not-yet-visible' })
      expect(unseen.headers.get('consistency')).toBe('stale')
    },
    postgres: async () => {
      await Promise.all([
        refuses('PostgreSQL', ...ofTables),
        serves(...searches),
        ask('POST', '/v1/orders', order).then((answer) => expectRefusal(answer, { engine: 'PostgreSQL' })),
        ask('GET', '/health/live').then(({ status }) => expect(status).toBe(200)),
        fetch(`${url}/metrics`).then(async (answer) => {
          expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('orderlog_http_seconds')])
        }),
        live.answers(),
      ])
    },
  }
}

/** Waits until every query of the table is answered, before something is broken. */
export const allServe = async (url: string): Promise<void> => {
  await eventually(
    () => Promise.all([...ofTables, ...searches, board].map(async (path) => (await send(url, 'GET', path)).status)),
    (statuses) => statuses.every((status) => status === 200),
    { what: 'every read model' },
  )
}

/** Waits until readiness names every check. */
export const saysSo = async (url: string, checks: readonly string[]): Promise<void> => {
  await eventually(
    () => send(url, 'GET', '/health/ready'),
    ({ status, body }) => status === 503 && checks.every((check) => body.checks[check]?.ok === false),
    { what: `readiness that names ${checks}` },
  )
}
