import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import { orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openReadSide } from '../test/support/read-side.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { orderDetails } from './order-details.ts'
import { createParkedEvents } from './parked-events.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'

const policy = { waitMs: () => 5, lookAgainMs: 10 }

let rig: ProjectionRig
let orders: Projection
let rebuilds: RebuildRig
beforeEach(async () => {
  rig = await openProjectionRig()
  orders = createPostgresProjection(rig.database, orderDetails(createTestVault()))
  rebuilds = openRebuildRig(rig, [orders])
})
afterEach(async () => {
  await rebuilds.close()
  await rig.close()
})

const parked = () =>
  rig.rows<{ projection: string }>(
    'select projection, stream, revision, status from platform.parked_events order by projection, position',
  )
const statuses = async (schema = 'order_details') =>
  new Map(
    (await rig.rows<{ id: string; status: string }>(`select order_id as id, status from ${schema}.orders`)).map(
      ({ id, status }) => [id, status],
    ),
  )
const record = (orderId: string, type: string, data: object = {}) =>
  rig.store.append(orderStream(orderId), [newEvent(data, type)], 'any')
const waitsFor = (words: string, mine: RebuildRig = rebuilds) =>
  eventually(
    () => mine.last('order_details'),
    ({ error }) => error?.includes(words) ?? false,
    { what: `a rebuild that waits for ${words}` },
  )
const rebuilt = async () => {
  await rebuilds.service.start(['order_details'], operator)
  rebuilds.startRebuilder({ policy })
  return rebuilds.comes('order_details', 'done')
}

test('a newer version of an event is waited for, says so, can be cancelled, and is left to newer code', async () => {
  const [first, newer] = [orderLife({}), orderLife({})]
  await append(rig.store, first.placed, newer.placed)
  await record(newer.orderId, 'order.shipped.v2', newer.shipped.data)
  await append(rig.store, first.confirmed)
  const side = await openReadSide({
    projecting: false,
    deps: { database: rig.database, store: rig.store, rebuilds: rebuilds.service },
  })
  const old = rebuilds.startRebuilder({ policy })
  try {
    await rebuilds.service.start(['order_details'], operator)
    await waitsFor('a newer version')
    const { rebuild } = JSON.parse(
      await (await fetch(`${side.url}/v1/projections/order_details`, { signal: AbortSignal.timeout(60_000) })).text(),
    )
    expect(rebuild).toMatchObject({
      ...{ state: 'running', phase: 'loading' },
      error: expect.stringMatching(
        /event 3 \(order-.*@1\) is a "order\.shipped\.v2", a newer version than this code knows/,
      ),
    })
    expect(await parked()).toEqual([])

    // Somebody else may work on it as soon as it is cancelled: who waits has let go.
    await rebuilds.service.cancel('order_details', operator)
    const lease = await rig.leases.acquire(`rebuild/${rebuild.run}`, AbortSignal.timeout(60_000))
    expect(lease).toBeDefined()
    await lease?.release()
    await rebuilds.service.resume('order_details', operator)
    await waitsFor('a newer version')
  } finally {
    await side.close()
    await old.stop()
  }

  // What this code can read now, newer code can read then.
  await rig.database.transaction(async (transaction) => {
    await transaction.query('alter table log.events disable trigger append_only')
    await transaction.query("update log.events set type = 'order.shipped.v1' where type = 'order.shipped.v2'")
    await transaction.query('alter table log.events enable always trigger append_only')
  })
  rebuilds.startRebuilder({ policy })
  expect(await rebuilds.comes('order_details', 'done')).toMatchObject({ error: null, eventsDone: 4n, eventsTotal: 4n })
  expect(await statuses()).toEqual(
    new Map([
      [first.orderId, 'confirmed'],
      [newer.orderId, 'shipped'],
    ]),
  )
  expect(await parked()).toEqual([])
})

test('a newer version that comes while generations are swapped holds nobody who writes the live one', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed)
  await rig.start(orders).caughtUp()
  const { generations } = orders
  if (!generations) throw new Error('order_details has generations')
  const mine = openRebuildRig(rig, [
    {
      ...orders,
      generations: {
        ...generations,
        swap: async (change) => {
          await record(life.orderId, 'order.shipped.v2', life.shipped.data)
          await generations.swap(change)
        },
      },
    },
  ])
  try {
    mine.startRebuilder({ policy })
    await mine.service.start(['order_details'], operator)
    await waitsFor('a newer version', mine)
    await rig.rows("select 1 from platform.checkpoints where consumer = 'order_details' for update")
    expect(await mine.last('order_details')).toMatchObject({ phase: 'swapping', state: 'running' })
    expect(await parked()).toEqual([])
  } finally {
    await mine.close()
  }
})

test('an event of a name that nobody knows is parked by the generation that is built, and goes with it', async () => {
  const [strange, other] = [orderLife({}), orderLife({})]
  await append(rig.store, strange.placed, other.placed)
  await record(strange.orderId, 'order.gift-wrapped.v1')
  await append(rig.store, strange.confirmed, other.confirmed)
  const stream = orderStream(strange.orderId)
  const both = (projection: string) => [
    { projection, stream, revision: 1n, status: 'failed' },
    { projection, stream, revision: 2n, status: 'behind' },
  ]
  await rebuilds.service.start(['order_details'], operator)
  let built: unknown
  rebuilds.startRebuilder({
    policy,
    verify: async () => {
      built = await parked()
      return undefined
    },
  })
  await rebuilds.comes('order_details', 'done')
  expect(built).toEqual(both('order_details@2'))
  expect(await parked()).toEqual(both('order_details'))
  const expected = new Map([
    [strange.orderId, 'placed'],
    [other.orderId, 'confirmed'],
  ])
  expect(await statuses()).toEqual(expected)

  // The live feed knows of them: what comes later waits behind.
  const projector = rig.start(orders)
  await append(rig.store, strange.shipped, other.shipped)
  await projector.caughtUp()
  expect(await statuses()).toEqual(new Map([...expected, [other.orderId, 'shipped']]))
  expect(await parked()).toHaveLength(3)
})

test('what operators have edited and discarded is honoured, also by rows that travel by COPY', async () => {
  const lives = Array.from({ length: 20 }, () => orderLife({}))
  const [edited, waiting, discarded, cutShort] = [orderLife({}), orderLife({}), orderLife({}), orderLife({})]
  const v1 = ({ placed: { data } }: ReturnType<typeof orderLife>, total: unknown) => ({
    ...{ orderId: data.orderId, customerId: data.customerId, currency: 'EUR', placedAt: data.placedAt, total },
    lines: [{ sku: 'lamp', quantity: 2, unitPrice: 1_500 }],
  })
  await append(rig.store, ...lives.map((life) => life.placed))
  for (const life of [edited, waiting, discarded]) {
    const { personal, paymentToken } = life.placed.data
    // An amount that is no number: no read model can take it.
    await record(life.orderId, 'order.placed.v1', { ...v1(life, 'much'), personal, paymentToken })
    await append(rig.store, life.confirmed)
  }
  await append(rig.store, cutShort.placed)
  await record(cutShort.orderId, 'order.confirmed.v1', { ...cutShort.confirmed.data, confirmedAt: 'at noon' })
  await append(rig.store, cutShort.shipped)
  const projector = rig.start(orders)
  await projector.caughtUp()
  expect(await parked()).toHaveLength(8)
  const parkedEvents = createParkedEvents({
    ...{ database: rig.database, projections: [orders], logger: silentLogger, log: rig.store },
  })
  const who = { operator: 'ada', reason: 'a test' }
  const decide = {
    edit: (life: typeof edited, revision: bigint, data: object, type: string) =>
      parkedEvents.edit('order_details', orderStream(life.orderId), revision, { ...who, data, type } as never),
    discard: (life: typeof edited, revision: bigint) =>
      parkedEvents.discard('order_details', orderStream(life.orderId), revision, who),
    retry: (life: typeof edited) => parkedEvents.retry('order_details', orderStream(life.orderId), who),
  }
  await decide.edit(edited, 0n, v1(edited, 4_200), 'order.placed.v1')
  expect(await decide.retry(edited)).toEqual({ applied: 2, parked: 0 })
  await decide.discard(cutShort, 1n)
  expect(await decide.retry(cutShort)).toEqual({ applied: 1, parked: 0 })
  const rows = () =>
    rig.rows<{ order_id: string; total_amount: bigint }>('select * from order_details.orders order by order_id')
  const before = await rows()
  // These are decided upon and not tried again: the next generation is where they count.
  await decide.edit(waiting, 0n, v1(waiting, 700), 'order.placed.v1')
  await decide.discard(discarded, 0n)

  await rebuilt()
  const after = await rows()
  expect(after.filter(({ order_id }) => order_id !== waiting.orderId)).toEqual(before)
  const totals = new Map(after.map((row) => [row.order_id, row.total_amount]))
  expect([totals.get(edited.orderId), totals.get(waiting.orderId)]).toEqual([4_200n, 700n])
  expect((await statuses()).get(cutShort.orderId)).toBe('shipped')
  expect(totals.has(discarded.orderId)).toBe(false)
  // The confirmation of an order that was never placed fails as it would live.
  expect(await parked()).toMatchObject([{ stream: orderStream(discarded.orderId), revision: 1n }, {}, {}, {}])
})

test('what comes after a rebuild that began on an empty log is not taken for done', async () => {
  await rebuilds.service.start(['order_details'], operator)
  const life = orderLife({})
  await append(rig.store, life.placed)
  rebuilds.startRebuilder({ policy })
  await rebuilds.comes('order_details', 'done')
  expect(await statuses()).toEqual(new Map([[life.orderId, 'placed']]))
})
