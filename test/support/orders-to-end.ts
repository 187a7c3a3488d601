import { expect } from 'vitest'
import { eventually } from './eventually.ts'
import type { ShopClient } from './shop-client.ts'

type Ask = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
interface Counts {
  readonly status: string
  readonly count: number
}

const sagasBy = (query: Ask, orderIds: readonly string[]): Promise<Counts[]> =>
  query(
    `select case when status = 'waiting' and waiting_for = 'shipment' then 'to ship' else status end as status,
       count(*)::int from saga.instances where order_id = any ($1) group by 1 order by 1`,
    [orderIds],
  )

const inStates = async (query: Ask, orderIds: readonly string[], states: readonly string[]): Promise<void> => {
  await eventually(
    () => sagasBy(query, orderIds),
    (counts) =>
      counts.every(({ status }) => states.includes(status)) &&
      counts.reduce((sum, { count }) => sum + count, 0) === orderIds.length,
    { what: `each of ${orderIds.length} fulfilments ${states.join(' or ')}`, withinMs: 180_000, everyMs: 200 },
  )
}

/**
 * Waits until the saga has done all it can for these orders, ships what is confirmed, and waits until each has reached
 * its end. Returns how many ended how.
 */
export const bringToEnd = async (
  shop: ShopClient,
  query: Ask,
  orderIds: readonly string[],
): Promise<Record<string, number>> => {
  await inStates(query, orderIds, ['to ship', 'completed', 'cancelled'])
  const toShip = await query<{ order_id: string }>(
    `select order_id from saga.instances where order_id = any ($1) and status = 'waiting'`,
    [orderIds],
  )
  const parcels = toShip.values()
  const ship = async (): Promise<void> => {
    for (const { order_id } of parcels) {
      const request = { carrier: 'UPS', trackingId: '1Z' }
      const { status, body } = await shop.write('POST', `/v1/orders/${order_id}/ship`, request)
      expect(status, JSON.stringify(body)).toBe(200)
    }
  }
  await Promise.all(Array.from({ length: 32 }, ship))
  await inStates(query, orderIds, ['completed', 'cancelled'])
  return Object.fromEntries((await sagasBy(query, orderIds)).map(({ status, count }) => [status, count]))
}
