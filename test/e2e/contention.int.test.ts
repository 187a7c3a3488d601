import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditOf, cleanReport } from '../support/audit.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, type ShopClient } from '../support/shop-client.ts'

describe('many who want the same', () => {
  let home: PlatformHome
  let shop: ShopClient
  const acknowledged: string[] = []

  beforeAll(async () => {
    home = await openHome()
    await home.start()
    shop = createShopClient(home.url)
    await shop.stock('mug', 100)
  })
  afterAll(() => home.close())

  const placedBy = (customerId: string) =>
    home.query<{ stream: string }>(
      `select stream from log.events where type like 'order.placed.%' and data ->> 'customerId' = $1`,
      [customerId],
    )

  test('the same request sent twice is one order, and the second answer is the first', async () => {
    const key = randomUUID()
    const request = placeOrder([{ sku: 'mug', quantity: 1 }], { customerId: 'twice' })
    const first = await shop.write('POST', '/v1/orders', request, key)
    const second = await shop.write('POST', '/v1/orders', request, key)
    expect([first.status, second.status]).toEqual([201, 201])
    expect(second.body).toEqual(first.body)
    for (const name of ['location', 'etag', 'consistency-token'])
      expect(second.headers.get(name)).toBe(first.headers.get(name))
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(await placedBy('twice')).toEqual([{ stream: `order-${first.body.orderId}` }])
    acknowledged.push(first.body.orderId)
  })

  test('the same request sent twenty times at once is one order', async () => {
    const key = randomUUID()
    const request = placeOrder([{ sku: 'mug', quantity: 1 }], { customerId: 'twenty' })
    const answers = await Promise.all(Array.from({ length: 20 }, () => shop.write('POST', '/v1/orders', request, key)))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    expect(new Set(answers.map(({ body }) => body.orderId)).size).toBe(1)
    expect(await placedBy('twenty')).toHaveLength(1)
    acknowledged.push(answers[0]?.body.orderId)
  })

  test('of fifty buyers of the last unit one gets it, forty-nine are told, and none of these was charged', async () => {
    await shop.stock('last', 1)
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, buyer) =>
        shop.write('POST', '/v1/orders', placeOrder([{ sku: 'last', quantity: 1 }], { customerId: `buyer-${buyer}` })),
      ),
    )
    const ids: string[] = answers.map(({ body }) => body.orderId)
    expect(new Set(ids).size).toBe(50)
    acknowledged.push(...ids)
    const ends = await Promise.all(ids.map((id) => shop.orderIn(id, 'confirmed', 'cancelled')))
    const confirmed = ends.filter(({ body }) => body.status === 'confirmed')
    expect(confirmed).toHaveLength(1)
    expect(ends.filter(({ body }) => body.cancelReason === 'out_of_stock')).toHaveLength(49)
    const charges = await home.query('select order_id from gateway.authorisations where order_id = any ($1)', [ids])
    expect(charges).toEqual([{ order_id: confirmed[0]?.body.orderId }])
  })

  test('one who asks for more than there is in two products holds neither', async () => {
    const { body } = await shop.write(
      'POST',
      '/v1/orders',
      placeOrder([
        { sku: 'mug', quantity: 1 },
        { sku: 'last', quantity: 2 },
      ]),
    )
    acknowledged.push(body.orderId)
    expect((await shop.orderIn(body.orderId, 'cancelled')).body.cancelReason).toBe('out_of_stock')
  })

  test('at no moment of its history was more reserved than there was', async () => {
    await bringToEnd(shop, home.query, acknowledged)
    const history = await home.query<{ type: string; data: { orderId: string; quantity: number } }>(
      `select type, data from log.events where stream = 'inventory-last' order by revision`,
    )
    let onHand = 0
    const reserved = new Map<string, number>()
    for (const { type, data } of history) {
      if (type.startsWith('inventory.received.')) onHand += data.quantity
      if (type.startsWith('inventory.reserved.')) reserved.set(data.orderId, data.quantity)
      if (type.startsWith('inventory.reservation-released.')) reserved.delete(data.orderId)
      if (type.startsWith('inventory.committed.')) {
        reserved.delete(data.orderId)
        onHand -= data.quantity
      }
      const held = [...reserved.values()].reduce((sum, units) => sum + units, 0)
      expect(held).toBeLessThanOrEqual(onHand)
    }
    expect({ onHand, reserved: reserved.size }).toEqual({ onHand: 0, reserved: 0 })
    expect(history.filter(({ type }) => type.startsWith('inventory.reserved.'))).toHaveLength(1)
  })

  test('the books balance', async () => {
    const { report, differences } = await auditOf({ DATABASE_URL: await home.databaseUrl() }, acknowledged)
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  })
})
