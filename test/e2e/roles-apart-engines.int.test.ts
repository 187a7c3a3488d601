import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome, queryOnce } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

const engines = ['kafka', 'redis', 'elasticsearch'] as const
const roles = ['write-side', 'projections', 'sagas', 'read-api', 'relay'] as const

describe.skipIf(missing(...engines).length > 0)(`two of each role on the real engines${leftOut(...engines)}`, () => {
  let on: TestEngines
  let home: PlatformHome
  const instances = new Map<string, PlatformProcess[]>()
  const query = <Row>(text: string, values?: readonly unknown[]) => queryOnce<Row>(on.database.url, text, values)
  const urlOf = (role: string, which: number) => instances.get(role)?.[which]?.url ?? ''

  beforeAll(async () => {
    on = await openTestEngines(...engines)
    home = await openHome()
    const environment = {
      ...on.environment,
      ORDERLOG_PORT: '0',
      ORDERLOG_DATABASE_CONNECTIONS: '8',
      ORDERLOG_LOG_LEVEL: 'info',
    }
    await Promise.all(
      roles.map(async (role) =>
        instances.set(role, await Promise.all([1, 2].map(() => home.start([role], environment)))),
      ),
    )
  }, 600_000)
  afterAll(async () => {
    await home?.close()
    await on?.drop()
  })

  test('2,000 orders reach their end though one of each two is killed, and the audit is clean', async () => {
    const orders = 2_000
    const shops = [0, 1].map((which) => createShopClient(urlOf('write-side', which)))
    const [, survivor = shops[0]] = shops
    if (!survivor) throw new Error('no write side')
    await survivor.stock('cup', 100_000)
    await survivor.stock('rare', 500)
    const acknowledged: string[] = []
    // Those whose instance is killed repeat their request, under the same key, on the other one.
    const place = async (shopper: number, body: unknown) => {
      const key = randomUUID()
      const first = shops[shopper % 2] === survivor ? undefined : urlOf('write-side', 0)
      const answer = first
        ? await send(first, 'POST', '/v1/orders', body, { 'Idempotency-Key': key }).catch(() => undefined)
        : undefined
      return answer?.status === 201 ? answer : survivor.write('POST', '/v1/orders', body, key)
    }
    const placing = Promise.all(
      Array.from({ length: 20 }, async (_, shopper) => {
        for (let index = 0; index < orders / 20; index += 1) {
          const lines = [
            { sku: 'cup', quantity: 1 + (index % 3) },
            ...(index % 4 === 0 ? [{ sku: 'rare', quantity: 2 }] : []),
          ]
          const paymentToken = ['tok_approve', 'tok_approve', 'tok_decline', 'tok_timeout_charged', 'tok_late'][
            index % 5
          ]
          const body = placeOrder(lines, {
            customerId: `shopper-${shopper}`,
            ...(paymentToken ? { paymentToken } : {}),
          })
          const { status, body: placed } = await place(shopper, body)
          expect(status, JSON.stringify(placed)).toBe(201)
          acknowledged.push(placed.orderId)
        }
      }),
    )
    placing.catch(() => undefined)
    await eventually(
      async () => acknowledged.length,
      (count) => count >= orders / 3,
      { what: 'a third of the orders' },
    )
    await Promise.all(roles.map((role) => instances.get(role)?.[0]?.kill('SIGKILL')))
    await placing
    expect(new Set(acknowledged).size).toBe(orders)

    const ends = await bringToEnd(survivor, query, acknowledged)
    expect((ends.completed ?? 0) + (ends.cancelled ?? 0)).toBe(orders)
    const [log] = await query(`select
        count(*) filter (where type like 'order.placed.%')::int as placed,
        count(*) filter (where type like 'fulfilment.started.%')::int as sagas from log.events`)
    expect(log).toEqual({ placed: orders, sagas: orders })

    const { report, differences } = await auditOf(on.environment, acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
    const search = await send(urlOf('read-api', 1), 'GET', '/v1/search/products?q=cup')
    expect(search.body.hits.map(({ product }: { product: { sku: string } }) => product.sku)).toEqual(['cup'])
    const board = await send(urlOf('read-api', 1), 'GET', '/v1/leaderboards/products?by=units&window=all')
    expect(board.body.places.map(({ key }: { key: string }) => key)).toEqual(['cup', 'rare'])
  }, 600_000)
})
