import type { Statement } from '../platform/database.ts'
import { unsealedOnly } from '../platform/partitioning.ts'
import { pause } from '../platform/pause.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { overReadModels } from './absent-read-model.ts'
import type { LiveDependencies } from './dependencies.ts'
import { type LiveSource, pageSize, toLiveEvents } from './live-source.ts'
import { type OrderRow, orderColumns, toOrderSummary } from './order-list.ts'

/** Orders in a snapshot at most. */
const snapshotOrders = 50

/** Events of a page, of whatever kind: a list of names would leave out those that only newer code knows. */
const eventsLookedAt = 4 * pageSize

/**
 * One statement and so one moment. The checkpoint is that of the partition that is furthest behind; an order of another
 * one may already be `ahead` of it.
 */
const snapshotStatement = (condition: string): Omit<Statement, 'name'> => ({
  text: `select c.checkpoint, coalesce(o.position > c.checkpoint, false) as ahead, o.* from
      (select coalesce(min(position) filter (where ${unsealedOnly}), 0) as checkpoint
       from platform.checkpoints where consumer = 'order_details') c
    left join (
      select position, ${orderColumns} from order_details.orders ${condition}
      order by placed_at desc, order_id desc limit ${snapshotOrders}) o on true
    order by o.placed_at desc, o.order_id desc`,
})
const statements = {
  orders: { name: 'live_orders', ...snapshotStatement('') },
  customer: { name: 'live_customer', ...snapshotStatement('where customer_id = $1') },
}

type Row = { readonly checkpoint: bigint; readonly ahead: boolean } & (OrderRow | { readonly order_id: null })

/** How often a list is asked for again whose partitions are not in step, and the wait in between, milliseconds. */
const tries = 40
const betweenTriesMs = 25

/** Asks until no order of the list is ahead of the checkpoint: its events would come a second time. */
const inStep = async (read: () => Promise<Row[]>): Promise<Row[]> => {
  for (let attempt = 1; ; attempt += 1) {
    const rows = await read()
    if (attempt === tries || !rows.some(({ ahead }) => ahead)) return rows
    await pause(betweenTriesMs)
  }
}

/** All orders, or those of one customer: the past from the log itself, places are positions. */
export const listSource = (
  deps: Pick<LiveDependencies, 'store' | 'database'>,
  customerId: string | undefined,
): LiveSource => {
  const channel = customerId === undefined ? 'orders' : 'customer'
  return {
    topic: customerId === undefined ? 'orders' : `customer:${customerId}`,
    placeOf: (event) => event.position,
    snapshot: () =>
      overReadModels(async () => {
        const values = customerId === undefined ? [] : [customerId]
        const rows = await inStep(() => deps.database.execute<Row>(statements[channel], values))
        const orders = rows.filter((row): row is Row & OrderRow => row.order_id !== null).map(toOrderSummary)
        return { place: rows[0]?.checkpoint ?? 0n, body: { channel, orders } }
      }),
    page: async (after, joined) => {
      if (after > joined) {
        const head = await deps.store.head()
        if (after > head) throw new CommandRejected('in-the-future', { detail: `the log is at position ${head}` })
      }
      if (after >= joined) return { events: [], place: after, done: true }
      const { events, position } = await deps.store.readAll({ after, limit: eventsLookedAt })
      const wanted = toLiveEvents(events).filter((event) => channel === 'orders' || event.customerId === customerId)
      return { events: wanted, place: position, done: position >= joined }
    },
  }
}
