import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openLiveWatch } from '../support/live-watch.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

let home: PlatformHome
beforeAll(async () => {
  home = await openHome()
  await home.start()
})
afterAll(() => home.close())

const asked = { operator: 'ada', reason: 'a test' }

/** Rebuilds all there is; resolves with a wait for the end of it. */
const rebuildAll = async (): Promise<() => Promise<void>> => {
  const { status, body } = await send(home.url, 'POST', '/v1/projections/rebuild', { projections: 'all', ...asked })
  expect(status, JSON.stringify(body)).toBe(202)
  const { run } = body.rebuilds[0]
  expect(body.rebuilds.length).toBeGreaterThan(7)
  return async () => {
    await eventually(
      () => home.query<{ state: string }>('select distinct state from platform.rebuilds where run = $1', [run]),
      (states) => states.length === 1 && states[0]?.state === 'done',
      { what: 'the end of the rebuild' },
    )
  }
}

test('everything is rebuilt under orders: no command and no call to the gateway comes of it, and live clients notice nothing', async () => {
  const shop = createShopClient(home.url)
  await shop.stock('chair', 1_000)
  const watch = await openLiveWatch(home.url)
  const place = async (count: number) => {
    const answers = await Promise.all(
      Array.from({ length: count }, () =>
        shop.write('POST', '/v1/orders', placeOrder([{ sku: 'chair', quantity: 1 }])),
      ),
    )
    return answers.map(({ body }): string => body.orderId)
  }
  const first = await place(20)
  await bringToEnd(shop, home.query, first)
  const effects = async () => {
    const [row] = await home.query<{ head: string; calls: string }>(
      'select (select max(position) from log.events) as head, (select count(*) from gateway.authorisations) as calls',
    )
    const metrics = await (await fetch(`${home.url}/metrics`)).text()
    const sum = (name: string) =>
      metrics
        .split('\n')
        .filter((line) => line.startsWith(`${name}_count`))
        .reduce((all, line) => all + Number(line.split(' ').at(-1)), 0)
    return { ...row, gateway: sum('orderlog_payment_gateway_seconds'), commands: sum('orderlog_command_seconds') }
  }
  const before = await effects()
  const ended = await rebuildAll()
  await ended()
  expect(await effects()).toEqual(before)

  const endedAgain = await rebuildAll()
  const placed = await place(20)
  const events = await watch.events('OrderPlaced', placed)
  await endedAgain()
  // Each once.
  expect(new Set(events.map(({ event }) => (event as { data: { orderId: string } }).data.orderId)).size).toBe(20)
  expect(events).toHaveLength(20)
  await bringToEnd(shop, home.query, placed)
  await watch.close()
}, 600_000)
