import { openLeases } from '../../platform/leases.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { createPersonalDataVault, type PersonalDataVault } from '../../platform/personal-data.ts'
import { orderDetails } from '../../projections/order-details.ts'
import { createPostgresProjection } from '../../projections/postgres-sink.ts'
import { createProjector } from '../../projections/projector.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import type { OrderEvent } from '../../schemas/order.ts'
import type { Contender, Measured } from '../contender.ts'
import { drive } from '../measure.ts'
import { newEvent, type Ours, openOurs } from '../ours.ts'
import { lifeOf } from '../sample-orders.ts'

const person = {
  name: 'Ada Shopper',
  email: 'ada.shopper@example.com',
  address: { street: '1 Market Street', city: 'Berlin', postalCode: '10115', country: 'DE' },
}

const sealed = async (vault: PersonalDataVault, event: OrderEvent): Promise<OrderEvent> =>
  event.type === 'OrderPlaced'
    ? { ...event, data: { ...event.data, personal: await vault.seal(event.data.customerId, person) } }
    : event

/** Orders that went well, four events each. */
export const seedOrders = (ours: Ours, vault: PersonalDataVault, orders: number): Promise<Measured> =>
  drive({ callers: 256, count: orders, seconds: 120 }, async (index) => {
    const events = await Promise.all(lifeOf(index).map((event) => sealed(vault, event)))
    await ours.store.append(`order-${events[0]?.data.orderId}`, events.map(newEvent), 'none')
  })

/** The order list, caught up from nothing to the head of a log of so many events; every round begins with nothing. */
export const projectOrderDetails = (events: number): Contender => ({
  count: events,
  // The whole log: a round is one piece.
  warmUp: events,
  open: async (bench) => {
    const ours = await openOurs(bench)
    const { database, store } = ours
    const vault = createPersonalDataVault(database)
    await seedOrders(ours, vault, events / 4)
    await database.query('analyze log.events')
    const leases = openLeases({ database, logger })
    const feed = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
    const projection = createPostgresProjection(database, orderDetails(vault))
    await projection.sink.prepare(await store.identity())
    const head = await store.head()
    return {
      run: async (count) => {
        await projection.sink.reset()
        const latenciesMs: number[] = []
        const done = new AbortController()
        const begun = performance.now()
        let before = begun
        const onCheckpoint = (_: string, _partition: number, position: bigint): void => {
          const now = performance.now()
          latenciesMs.push(now - before)
          before = now
          if (position >= head) done.abort()
        }
        await createProjector({
          projection,
          feed,
          log: store,
          database,
          logger,
          metrics: createMetrics(),
          onCheckpoint,
        }).run(done.signal)
        const seconds = (before - begun) / 1000
        const [row] = await database.query<{ done: bigint }>(
          "select count(*) as done from order_details.orders where status = 'delivered' and name is not null",
        )
        if (row?.done !== BigInt(count / 4)) throw new Error(`projected ${row?.done} of ${count / 4} orders`)
        return { done: count, seconds, latenciesMs }
      },
      close: async () => {
        feed.close()
        await leases.close()
        await ours.close()
      },
    }
  },
})
