import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, type ShopClient } from '../support/shop-client.ts'

test('where no projection has ever run it does not say that everything equals the log', async () => {
  const home = await openHome()
  try {
    await home.start(['write-side', 'read-api'])
    expect(await home.run(['verify'])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^orderlog: Nothing was compared: no read model has been built yet\.\n$/),
    })
  } finally {
    await home.close()
  }
})

describe('orderlog verify', () => {
  let home: PlatformHome
  let shop: ShopClient
  let orderId: string
  beforeAll(async () => {
    home = await openHome()
    await home.start()
    shop = createShopClient(home.url)
    await shop.stock('mug', 100)
    const answer = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 2 }]))
    orderId = answer.body.orderId
    await bringToEnd(shop, home.query, [orderId])
  })
  afterAll(() => home?.close())

  test('exits with 0 when every read model equals the log', async () => {
    const { code, stdout, stderr } = await home.run(['verify'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('leaderboards')
    expect(stdout).toMatch(/\nEverything equals the log\.\n$/)
  })

  test('exits with 1 and names what differs, repairs it when told to, and says who did', async () => {
    await home.query('update order_details.orders set total_amount = total_amount + 1 where order_id = $1', [orderId])
    await home.query(
      `update leaderboards.scores set score = score + 1 where span = 'all' and key = 'mug' and measure = 'units'`,
    )
    const found = await home.run(['verify'])
    expect(found.code).toBe(1)
    expect(found.stdout).toMatch(
      new RegExp(
        `order_details ${orderId}: total_amount should be \\d+, is \\d+; since position \\d+ \\(order-${orderId}@0 OrderPlaced\\)`,
      ),
    )
    expect(found.stdout).toMatch(/Not equal to the log: leaderboards, order_details\.\n$/)
    const sampled = await home.run(['verify', 'order_details', '--sample', '5', '--json'])
    expect(sampled.code).toBe(1)
    expect(JSON.parse(sampled.stdout)).toMatchObject({
      reports: [{ projection: 'order_details', sample: 5, differences: [{ key: orderId, field: 'total_amount' }] }],
    })
    const metrics = await (await fetch(`${home.url}/metrics`)).text()
    expect(metrics).toContain('orderlog_verify_differences{projection="leaderboards"} 1')

    const repaired = await home.run(['verify', '--repair', '--operator', 'ada', '--reason', 'a slip'])
    expect(repaired.code).toBe(0)
    expect(repaired.stdout).toContain('order_details: 1 rows were repaired')
    expect(await home.run(['verify'])).toMatchObject({ code: 0 })
  })

  test('says in one sentence what cannot be verified', async () => {
    const unknown = await home.run(['verify', 'nothing_of_ours'])
    expect({ ...unknown, stdout: '' }).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^orderlog: .*\n$/),
    })
    const ahead = await home.run(['verify', 'sales', '--at', '999999'])
    expect(ahead).toMatchObject({ code: 1, stderr: expect.stringContaining('The log ends at') })
    const away = await home.run(['verify'], { ORDERLOG_PORT: '1' })
    expect(away).toMatchObject({ code: 1, stderr: expect.stringContaining('No Orderlog answers') })
  })

  test('answers the same over HTTP, with a code for each refusal', async () => {
    const ask = async (name: string, body: unknown) => {
      const { status, body: answer } = await shop.write('POST', `/v1/projections/${name}/verify`, body)
      return { status, code: answer.code, projection: answer.projection, differenceCount: answer.differenceCount }
    }
    expect(await ask('payments', {})).toMatchObject({ status: 200, projection: 'payments', differenceCount: 0 })
    expect(await ask('order_details', { at: '1' })).toMatchObject({ status: 200, differenceCount: 0 })
    expect(await ask('nothing_of_ours', {})).toMatchObject({ status: 404, code: 'projection-not-found' })
    expect(await ask('sales', { at: '1' })).toMatchObject({ status: 422, code: 'verify-position-passed' })
    expect(await ask('sales', { at: '999999' })).toMatchObject({ status: 422, code: 'verify-position-not-reached' })
    expect(await ask('sales', { at: '1', repair: { operator: 'ada', reason: 'x' } })).toMatchObject({
      status: 409,
      code: 'verify-repair-refused',
    })
    expect(await ask('sales', { at: 'soon' })).toMatchObject({ status: 400, code: 'invalid-request' })
    expect(await ask('sales', { repair: {} })).toMatchObject({ status: 400, code: 'invalid-request' })
  })

  test('an event that nobody can read stops it only where it should be parked and is not, and only there', async () => {
    await home.query(
      `select * from log.append(array[$1], array[-1], array[1], array[1], array[1], array[gen_random_uuid()],
         array['order.confirmed.v1'], array['{}'::json], array[$2::json])`,
      [`order-${randomUUID()}`, JSON.stringify({ commandId: '', correlationId: '', causationId: '', actor: 'nobody' })],
    )
    const parked = () => home.query<{ projection: string }>('select projection from platform.parked_events')
    await eventually(parked, (rows) =>
      ['leaderboards', 'sales'].every((name) => rows.some((row) => row.projection === name)),
    )
    expect(await home.run(['verify'])).toMatchObject({ code: 0, stderr: '' })
    const asOf = await shop.get(`/v1/leaderboards/products?asOf=${new Date().toISOString()}`)
    expect(asOf).toMatchObject({ status: 200, body: { places: [{ key: 'mug' }] } })

    await home.query("delete from platform.parked_events where projection = 'sales'")
    const { code, stdout } = await home.run(['verify'])
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /\nsales was not compared: .*event \d+ .*\(verify-event-unreadable\)\nAll else equals the log\.\n$/,
    )
    const json = JSON.parse((await home.run(['verify', '--json'])).stdout)
    expect(json.refusals).toMatchObject([{ projection: 'sales', problem: { code: 'verify-event-unreadable' } }])
    expect(json.reports.length).toBeGreaterThan(5)
  })
})
