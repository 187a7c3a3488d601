import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../support/ask.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { type HangingProxy, openHangingProxy } from '../support/hanging-proxy.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

/** How long each answer of Elasticsearch takes, milliseconds: less than a search waits, so that all are answered. */
const delayMs = 2_000
const searches = 40

describe.skipIf(missing('elasticsearch').length > 0)(`a slow Elasticsearch${leftOut('elasticsearch')}`, () => {
  let on: TestEngines
  let home: PlatformHome
  let proxy: HangingProxy
  let shop: ReturnType<typeof createShopClient>
  /** Of the process that is asked, apart from the one that projects: what it knows of read models it has to read. */
  let url: string

  beforeAll(async () => {
    on = await openTestEngines('elasticsearch')
    proxy = await openHangingProxy(on.environment.ELASTICSEARCH_URL ?? '')
    home = await openHome()
    const environment = { ...on.environment, ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info' }
    const started = await Promise.all([
      home.start(['write-side', 'projections', 'sagas'], environment),
      home.start(['read-api'], { ...environment, ELASTICSEARCH_URL: proxy.url }),
    ])
    url = started[1].url
    shop = createShopClient(started[0].url)
    await shop.stock('cup', 1_000)
  })
  afterAll(async () => {
    await home?.close()
    await proxy?.close()
    await on?.drop()
  })

  const place = async () => {
    const placed = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'cup', quantity: 1 }]))
    expect(placed.status).toBe(201)
    const token = { 'Consistency-Token': placed.headers.get('consistency-token') ?? '' }
    return { id: String(placed.body.orderId), token }
  }

  /** Asks so many at once; how many are answered already, and all the answers. */
  const ask = (count: number, path: string, headers: Readonly<Record<string, string>>) => {
    let answered = 0
    const all = Promise.all(
      Array.from({ length: count }, async (): Promise<Answer> => {
        const answer = await send(url, 'GET', path, undefined, headers)
        answered += 1
        return answer
      }),
    )
    return { answered: () => answered, all }
  }

  test('does not slow order pages: they are answered, and current, while every search still waits for it', async () => {
    const first = await place()
    await eventually(
      () => send(url, 'GET', '/v1/search/orders?q=lovelace&waitMs=10000', undefined, first.token),
      ({ status, body }) => status === 200 && body.hits.length > 0,
      { what: 'a search that finds the order' },
    )
    proxy.delayAnswers(delayMs)
    // Tries again on a machine that took longer over the pages than Elasticsearch over the searches.
    await eventually(
      async () => {
        const { id, token } = await place()
        const plain = ask(searches, '/v1/search/orders?q=lovelace', {})
        const waiting = ask(5, '/v1/search/orders?q=lovelace&waitMs=10000', token)
        const pages = [
          await send(url, 'GET', `/v1/orders/${id}?waitMs=10000`, undefined, token),
          await send(url, 'GET', '/v1/orders?waitMs=10000', undefined, token),
          await send(url, 'GET', `/v1/orders/${id}`),
          await send(url, 'GET', '/v1/orders'),
        ]
        const answered = plain.answered() + waiting.answered()
        expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200])
        expect(pages.map(({ headers }) => headers.get('consistency'))).toEqual(['current', 'current', null, null])
        expect(new Set((await plain.all).map(({ status }) => status))).toEqual(new Set([200]))
        expect((await waiting.all).map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 200))
        return answered
      },
      (answered) => answered === 0,
      { what: 'order pages before the first search' },
    )
  })
})
