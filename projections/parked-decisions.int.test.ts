import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import { inventoryStream, orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { createApplier } from './applier.ts'
import { orderDetails } from './order-details.ts'
import { createParkedEvents } from './parked-events.ts'
import { drainParked, ParkedStreamsChanged, readParkedStream } from './parking.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import { rebuildFromZero } from './rebuild-from-zero.ts'
import { stockLevels } from './stock-levels.ts'
import { defaultErrorPolicy } from './verdict.ts'

let rig: ProjectionRig
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(() => rig.close())

const at = '2026-03-01T09:00:00.000Z'
const received = (sku: string, quantity: number) =>
  ({ type: 'StockReceived', data: { sku, quantity, receivedAt: at } }) as const
const reserved = (sku: string, quantity: number) =>
  ({ type: 'StockReserved', data: { sku, orderId: orderLife({}).orderId, quantity, reservedAt: at } }) as const
const stock = () => createPostgresProjection(rig.database, stockLevels)
const orders = () => createPostgresProjection(rig.database, orderDetails(createTestVault()))
const service = (...projections: ReturnType<typeof stock>[]) =>
  createParkedEvents({ database: rig.database, projections, logger: silentLogger, log: rig.store })
const who = { operator: 'ada', reason: 'counted by hand' }
const levels = () => rig.rows('select sku, on_hand, reserved from stock_levels.stock order by sku')
const parked = () =>
  rig.rows<{ projection: string; revision: bigint; status: string; edit: number }>(
    'select projection, revision, status, edit from platform.parked_events order by position, projection',
  )
const gaps = () =>
  rig.rows<{ revision: bigint; error: string; operator: string; passed_at: string | null }>(
    'select revision, error, operator, passed_at from platform.event_gaps order by position',
  )
const edits = () =>
  rig.rows<{ edit: number; data: { quantity: number }; applied_at: string | null }>(
    'select edit, data, applied_at from platform.event_edits order by edit',
  )
const lamp = inventoryStream('lamp')

/** More is reserved than there is, which the read model refuses, and two events come behind. */
const givenPoison = async () => {
  const poison = reserved('lamp', 9)
  await append(rig.store, received('lamp', 5), poison, received('lamp', 2), received('chair', 1))
  const projection = stock()
  const projector = rig.start(projection, { policy: { lookAgainMs: 10 } })
  await projector.caughtUp()
  expect(await parked()).toMatchObject([
    { revision: 1n, status: 'failed' },
    { revision: 2n, status: 'behind' },
  ])
  return { projection, projector, poison, parkedEvents: service(projection) }
}

test('an edited event is applied in the place of the recorded one, again in a rebuild, and the log stays as it is', async () => {
  const { projection, projector, poison, parkedEvents } = await givenPoison()
  const replace = (quantity: number) =>
    parkedEvents.edit('stock_levels', lamp, 1n, { ...who, data: { ...poison.data, quantity } })
  expect(await replace(8)).toBe(1)
  expect(await parkedEvents.retry('stock_levels', lamp, who)).toEqual({ applied: 0, parked: 2 })
  expect(await replace(3)).toBe(2)
  expect(await parkedEvents.retry('stock_levels', lamp, who)).toEqual({ applied: 2, parked: 0 })
  const mended = [
    { sku: 'chair', on_hand: 1n, reserved: 0n },
    { sku: 'lamp', on_hand: 7n, reserved: 3n },
  ]
  expect(await levels()).toEqual(mended)
  const [first, second] = await edits()
  expect([first, second]).toMatchObject([
    { edit: 1, data: { quantity: 8 }, applied_at: null },
    { edit: 2, data: { quantity: 3 } },
  ])
  expect(second?.applied_at).not.toBeNull()
  // The projector hears of it without another event.
  await eventually(
    async () => projector.status(),
    ({ parkedEvents: left }) => left === 0,
  )

  await projector.stop()
  await rebuildFromZero(rig.store, projection)
  await rig.start(stock()).caughtUp()
  expect(await levels()).toEqual(mended)
  expect(await parked()).toEqual([])
  const [, again] = await edits()
  expect(again?.applied_at).not.toBe(second?.applied_at)
  const [, recorded] = (await rig.store.readStream(lamp)).events
  expect(recorded?.data).toMatchObject({ quantity: 9 })
})

test('a discarded event leaves a gap that a rebuild honours, and lets the later ones of its stream be applied', async () => {
  const { projection, projector, parkedEvents } = await givenPoison()
  expect(await parkedEvents.discard('stock_levels', lamp, 1n, who)).toBe(1)
  expect(await parkedEvents.discard('stock_levels', lamp, 1n, who)).toBeUndefined()
  expect(await parked()).toMatchObject([{ revision: 2n, status: 'behind' }])
  expect(await parkedEvents.retry('stock_levels', lamp, who)).toEqual({ applied: 1, parked: 0 })
  const without = [
    { sku: 'chair', on_hand: 1n, reserved: 0n },
    { sku: 'lamp', on_hand: 7n, reserved: 0n },
  ]
  expect(await levels()).toEqual(without)
  expect(await gaps()).toMatchObject([{ revision: 1n, operator: 'ada', passed_at: null }])
  await append(rig.store, received('lamp', 1))
  await projector.caughtUp()

  await projector.stop()
  await rebuildFromZero(rig.store, projection)
  await rig.start(stock()).caughtUp()
  expect(await levels()).toMatchObject([{ sku: 'chair' }, { sku: 'lamp', on_hand: 8n, reserved: 0n }])
  expect(await parked()).toEqual([])
  expect((await gaps())[0]?.passed_at).not.toBeNull()
})

test('a discarded event may be the one that others wait for: the next one then fails, and parks again', async () => {
  await append(rig.store, reserved('desk', 3), reserved('desk', 1), received('lamp', 1))
  const projection = stock()
  await rig.start(projection).caughtUp()
  const parkedEvents = service(projection)
  const desk = inventoryStream('desk')
  expect(await parkedEvents.discard('stock_levels', desk, 0n, who)).toBe(1)
  expect(await parkedEvents.retry('stock_levels', desk, who)).toEqual({ applied: 0, parked: 1 })
  expect(await parked()).toMatchObject([{ revision: 1n, status: 'failed' }])
})

test('a generation that is being built honours what was decided about the projection', async () => {
  const { projection, projector, poison, parkedEvents } = await givenPoison()
  await append(rig.store, reserved('chair', 4))
  await projector.caughtUp()
  await parkedEvents.edit('stock_levels', lamp, 1n, { ...who, data: { ...poison.data, quantity: 4 } })
  await parkedEvents.discard('stock_levels', inventoryStream('chair'), 1n, who)
  await projector.stop()
  await projection.sink.reset()
  const next = { ...projection, name: 'stock_levels@2' }
  const applier = createApplier({
    ...{ projection: next, database: rig.database, policy: defaultErrorPolicy, logger: silentLogger },
    ...{ onStep: () => undefined, onWait: () => undefined },
  })
  await applier.load()
  const signal = new AbortController().signal
  for await (const batch of rig.feed.follow({ after: 0n, signal })) {
    const stretch = { events: batch.events, to: batch.position }
    expect(await applier.apply(batch.partition, 0n, stretch, signal)).toBe('applied')
    break
  }
  expect(await levels()).toEqual([
    { sku: 'chair', on_hand: 1n, reserved: 0n },
    { sku: 'lamp', on_hand: 7n, reserved: 4n },
  ])
  // What the live generation has parked is its own.
  expect((await parked()).map(({ projection: name }) => name)).toEqual(['stock_levels', 'stock_levels'])
})

test('a decision is about one event: after the log was put back, another one in its place is applied', async () => {
  const { projection, projector, parkedEvents } = await givenPoison()
  await parkedEvents.discard('stock_levels', lamp, 1n, who)
  await projector.stop()
  await rig.rows('update platform.event_gaps set event_id = gen_random_uuid()')
  await rebuildFromZero(rig.store, projection)
  await rig.start(stock()).caughtUp()
  expect(await parked()).toMatchObject([{ revision: 1n }, { revision: 2n }])
})

test('a replacement must be the same event, match its schema and stay on its stream', async () => {
  const { poison, parkedEvents } = await givenPoison()
  const edit = (data: Record<string, unknown>, type?: string) =>
    parkedEvents.edit('stock_levels', lamp, 1n, { ...who, data, ...(type === undefined ? {} : { type }) })
  const invalid = (detail: string) =>
    expect.objectContaining({
      code: 'invalid-replacement',
      details: expect.objectContaining({ detail: expect.stringContaining(detail) }),
    })
  await expect(edit({ ...poison.data, quantity: -1 })).rejects.toEqual(invalid('data/quantity must be >= 1'))
  await expect(edit({ ...poison.data, extra: 1 })).rejects.toEqual(invalid('unknown member "extra"'))
  await expect(edit({ ...poison.data, sku: 'chair' })).rejects.toEqual(invalid('"sku" names the stream'))
  await expect(edit(poison.data, 'inventory.received.v1')).rejects.toEqual(invalid('the same event'))
  await expect(edit(poison.data, 'inventory.reserved.v9')).rejects.toEqual(invalid('a newer version'))
  expect(await edits()).toEqual([])
  expect(await parkedEvents.edit('stock_levels', lamp, 7n, { ...who, data: poison.data })).toBeUndefined()
})

test('a replacement may be of an older version, and keeps what is withheld as it was recorded', async () => {
  const life = orderLife({})
  const { personal, paymentToken } = life.placed.data
  const v1 = {
    ...{ orderId: life.orderId, customerId: 'customer-1', currency: 'EUR', placedAt: at, total: 3_000 },
    lines: [{ sku: 'lamp', quantity: 2, unitPrice: 1_500 }],
  }
  // An amount that is no number: the read model cannot take it.
  const broken = { ...v1, personal, paymentToken, total: 'much' }
  await rig.store.append(orderStream(life.orderId), [newEvent(broken, 'order.placed.v1')], 'none')
  const projection = orders()
  await rig.start(projection).caughtUp()
  const parkedEvents = service(projection)
  const stream = orderStream(life.orderId)
  const edit = (data: Record<string, unknown>) =>
    parkedEvents.edit('order_details', stream, 0n, { ...who, data, type: 'order.placed.v1' })
  await expect(edit({ ...v1, paymentToken: 'tok_mine' })).rejects.toMatchObject({ code: 'invalid-replacement' })
  expect(await edit(v1)).toBe(1)
  expect(await parkedEvents.retry('order_details', stream, who)).toEqual({ applied: 1, parked: 0 })
  expect(await rig.rows('select order_id, total_amount from order_details.orders')).toEqual([
    { order_id: life.orderId, total_amount: 3_000n },
  ])
  expect((await edits())[0]?.data).toMatchObject({ personal, paymentToken })
})

test('an event that this code does not know can be discarded, not edited', async () => {
  const life = orderLife({})
  const stream = orderStream(life.orderId)
  await append(rig.store, life.placed)
  await rig.store.append(stream, [newEvent({}, 'order.gift-wrapped.v1')], 'any')
  await append(rig.store, life.confirmed)
  const projection = orders()
  await rig.start(projection).caughtUp()
  const parkedEvents = service(projection)
  await expect(parkedEvents.edit('order_details', stream, 1n, { ...who, data: {} })).rejects.toMatchObject({
    code: 'event-not-editable',
  })
  await parkedEvents.discard('order_details', stream, 1n, who)
  expect(await parkedEvents.retry('order_details', stream, who)).toEqual({ applied: 1, parked: 0 })
  expect(await rig.rows('select status from order_details.orders')).toEqual([{ status: 'confirmed' }])
})

test('an edit that comes while the event is being retried is not lost with it', async () => {
  const { poison, parkedEvents } = await givenPoison()
  const [row] = await readParkedStream(rig.database, 'stock_levels', lamp, 1)
  if (!row) throw new Error('nothing is parked')
  await parkedEvents.edit('stock_levels', lamp, 1n, { ...who, data: { ...poison.data, quantity: 1 } })
  await expect(drainParked(rig.database, 'stock_levels', lamp, [row])).rejects.toThrow(ParkedStreamsChanged)
})

test('a projection that stopped with too much parked goes on by itself once there is less', async () => {
  const bad = ['a', 'b', 'c'].map((sku) => reserved(sku, 1))
  await append(rig.store, ...bad, received('lamp', 1))
  const projection = stock()
  const projector = rig.start(projection, { policy: { maxParkedStreams: 2, maxAttempts: 1, lookAgainMs: 10 } })
  const stopped = await eventually(
    async () => projector.status(),
    ({ state }) => state === 'stopped',
  )
  expect(stopped.error).toMatch(/stock_levels has parked events of 2 streams.*goes on once fewer than 2 are left/)
  expect(await parked()).toHaveLength(2)
  await service(projection).discard('stock_levels', inventoryStream('a'), 0n, who)
  await projector.caughtUp()
  expect(await levels()).toEqual([{ sku: 'lamp', on_hand: 1n, reserved: 0n }])
  expect(await parked()).toHaveLength(2)
})
