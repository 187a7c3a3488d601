import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLogEventFeed } from '../platform/log-event-feed.ts'
import { type Logger, silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { ada, line, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { putBack } from '../test/support/put-back.ts'
import { orderDetails } from './order-details.ts'
import { createParkedEvents } from './parked-events.ts'
import { createPostgresProjection, type PostgresProjection } from './postgres-sink.ts'
import { stockLevels } from './stock-levels.ts'

type Orders = ReturnType<typeof orderDetails>

let rig: ProjectionRig
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(() => rig.close())

const orders = (
  change: (definition: Orders) => Partial<PostgresProjection<Orders['handles'][number]>> = () => ({}),
) => {
  const definition = orderDetails(createTestVault())
  return createPostgresProjection(rig.database, { ...definition, ...change(definition) })
}
const statuses = async () =>
  new Map(
    (await rig.rows<{ order_id: string; status: string }>('select order_id, status from order_details.orders')).map(
      (row) => [row.order_id, row.status],
    ),
  )
const parked = () =>
  rig.rows<{
    stream: string
    revision: bigint
    status: string
    error: string | null
    sqlstate: string | null
    attempts: number
  }>('select stream, revision, status, error, sqlstate, attempts from platform.parked_events order by position')
const parkedEvents = (projection: ReturnType<typeof orders>) =>
  createParkedEvents({ database: rig.database, projections: [projection], logger: silentLogger, log: rig.store })
const operator = { operator: 'ada', reason: 'the handler is mended' }

/** Throws at one event until it is mended. */
const failing = (type: string, orderId: string) => {
  const handler = { mended: false }
  const projection = orders((definition) => ({
    apply: async (transaction, schema, events, how) => {
      if (!handler.mended && events.some((event) => event.type === type && streamsOf(event) === orderId))
        throw new TypeError('cannot read the carrier')
      await definition.apply(transaction, schema, events, how)
    },
  }))
  return { handler, projection }
}
const streamsOf = (event: { data: unknown }) => (event.data as { orderId?: string }).orderId

test('what is in the log becomes rows, and what comes later follows', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed, life.confirmed)
  const projector = rig.start(orders())
  await projector.caughtUp()
  expect(await statuses()).toEqual(new Map([[life.orderId, 'confirmed']]))
  await append(rig.store, life.shipped)
  await projector.caughtUp()
  expect(await statuses()).toEqual(new Map([[life.orderId, 'shipped']]))
  expect(projector.status()).toMatchObject({ state: 'live', lagEvents: 0n, parkedEvents: 0 })
})

test('a handler that throws parks only its stream, in order, and costs its batch-mates nothing', async () => {
  const lives = Array.from({ length: 20 }, () => orderLife({}))
  const [, , , poisoned] = lives
  if (!poisoned) throw new Error('no order')
  await append(rig.store, ...lives.map((life) => life.placed), ...lives.map((life) => life.shipped))
  await append(rig.store, poisoned.delivered)
  const { handler, projection } = failing('OrderShipped', poisoned.orderId)
  const projector = rig.start(projection)
  await projector.caughtUp()

  const expected = new Map(lives.map((life) => [life.orderId, life === poisoned ? 'placed' : 'shipped']))
  expect(await statuses()).toEqual(expected)
  const stream = orderStream(poisoned.orderId)
  expect(await parked()).toEqual([
    { stream, revision: 1n, status: 'failed', error: 'cannot read the carrier', sqlstate: null, attempts: 3 },
    { stream, revision: 2n, status: 'behind', error: null, sqlstate: null, attempts: 0 },
  ])
  expect(projector.status()).toMatchObject({ state: 'live', parkedEvents: 2 })

  const service = parkedEvents(projection)
  expect(await service.retry('order_details', stream, operator)).toEqual({ applied: 0, parked: 2 })
  expect((await service.show('order_details', stream, 1n))?.attempts).toBe(4)
  handler.mended = true
  expect(await service.retry('order_details', stream, operator)).toEqual({ applied: 2, parked: 0 })
  expect(await service.retry('order_details', stream, operator)).toBeUndefined()
  expect((await statuses()).get(poisoned.orderId)).toBe('delivered')
})

test('a right that was revoked is waited for and parks nothing', async () => {
  const role = `orderlog_revoked_${process.pid}`
  const { placed, orderId } = orderLife({})
  await rig.rows(`create role ${role}`)
  let revoked = true
  const projection = orders((definition) => ({
    apply: async (transaction, schema, events, how) => {
      if (revoked) await transaction.query(`set local role ${role}`)
      await definition.apply(transaction, schema, events, how)
    },
  }))
  try {
    await append(rig.store, placed)
    const projector = rig.start(projection, { policy: { maxAttempts: 1, waitMs: () => 5 } })
    await eventually(
      async () => [projector.status(), await parked()] as const,
      ([{ state }, events]) => state === 'waiting' || events.length > 0,
    )
    expect(projector.status()).toMatchObject({ state: 'waiting', error: expect.stringContaining('permission denied') })
    revoked = false
    await projector.caughtUp()
    expect(await parked()).toEqual([])
    expect(await statuses()).toEqual(new Map([[orderId, 'placed']]))
  } finally {
    await rig.rows(`drop role ${role}`)
  }
})

test('what a crash of the server has taken from a read model comes again, although nothing is appended', async () => {
  const life = orderLife({})
  const placed = await append(rig.store, life.placed)
  const projector = rig.start(orders(), { watchMs: 20 })
  await projector.caughtUp()
  await append(rig.store, life.confirmed)
  await projector.caughtUp()
  await rig.database.transaction(async (transaction) => {
    await transaction.query("update platform.checkpoints set position = $1 where consumer = 'order_details'", [placed])
    await transaction.query("update order_details.orders set status = 'placed'")
  })
  await eventually(statuses, (found) => found.get(life.orderId) === 'confirmed', { what: 'the order' })
})

test('a log that is put back under it stops a projection, and nothing is applied on top', async () => {
  const [kept, lost, other] = [orderLife({}), orderLife({}), orderLife({})]
  const position = await append(rig.store, kept.placed)
  const projector = rig.start(orders(), { policy: { waitMs: () => 0 } })
  await projector.caughtUp()
  await append(rig.store, lost.placed)
  await projector.caughtUp()
  await putBack(rig.database, position)
  await rig.rows('delete from order_details.orders where order_id = $1', [lost.orderId])
  await append(rig.store, other.placed, other.confirmed)
  await projector.stopped()
  expect(projector.status()).toMatchObject({ state: 'stopped', error: expect.stringContaining('the log was put back') })
  expect(await statuses()).toEqual(new Map([[kept.orderId, 'placed']]))

  const late = rig.start(orders())
  await late.stopped()
  expect(late.status()).toMatchObject({ state: 'stopped', error: expect.stringContaining('restart every process') })
})

test('after its parked events were drained, a stream flows again without a restart', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed, life.confirmed)
  const { handler, projection } = failing('OrderConfirmed', life.orderId)
  const projector = rig.start(projection)
  await projector.caughtUp()
  handler.mended = true
  await parkedEvents(projection).retry('order_details', orderStream(life.orderId), operator)
  await append(rig.store, life.shipped)
  await projector.caughtUp()
  expect(await statuses()).toEqual(new Map([[life.orderId, 'shipped']]))
  expect(projector.status().parkedEvents).toBe(0)
})

test('an order that was parked while its customer was forgotten shows nobody when it is retried', async () => {
  // Whoever forgot the customer died before the key was destroyed.
  const vault = createTestVault()
  const keyId = randomUUID()
  const life = orderLife({ customerId: 'ada', personal: vault.seal(keyId, ada) })
  const handler = { mended: false }
  const definition = orderDetails(vault)
  const projection = createPostgresProjection(rig.database, {
    ...definition,
    apply: async (transaction, schema, events, how) => {
      if (!handler.mended && events.some((event) => event.type === 'OrderPlaced')) throw new TypeError('not yet')
      await definition.apply(transaction, schema, events, how)
    },
  })
  await append(rig.store, life.placed, {
    type: 'PersonalDataForgotten',
    data: { customerId: 'ada', keyIds: [keyId], forgottenAt: '2026-03-01T09:00:00.000Z' },
  })
  const projector = rig.start(projection)
  await projector.caughtUp()
  handler.mended = true
  expect(await parkedEvents(projection).retry('order_details', orderStream(life.orderId), operator)).toEqual({
    applied: 1,
    parked: 0,
  })
  expect(await rig.rows('select order_id, name, email, address from order_details.orders')).toEqual([
    { order_id: life.orderId, name: null, email: null, address: null },
  ])
})

test('a customer who is forgotten between the reading ahead and the writing is not shown', async () => {
  const vault = createTestVault()
  const [adas, graces] = [randomUUID(), randomUUID()]
  const lives = [
    orderLife({ customerId: 'ada', personal: vault.seal(adas, ada) }),
    orderLife({ customerId: 'grace', personal: vault.seal(graces, ada) }),
  ]
  const { sink, anticipate } = createPostgresProjection(rig.database, orderDetails(vault))
  await sink.prepare(await rig.store.identity())
  const to = await append(rig.store, ...lives.map((life) => life.placed))
  const events = await rig.history()
  anticipate?.(events)
  await vault.destroy([adas])
  expect(await sink.apply({ partition: 0, events, from: 0n, to })).toBe('applied')
  expect(await rig.rows('select customer_id, name from order_details.orders order by customer_id')).toEqual([
    { customer_id: 'ada', name: null },
    { customer_id: 'grace', name: ada.name },
  ])
})

test('an event that cannot be decoded fails in its own turn, and not when it is read ahead', async () => {
  const lives = Array.from({ length: 4 }, () => orderLife({}))
  for (const life of lives.slice(0, 3)) await append(rig.store, life.placed)
  const broken = orderStream(randomUUID())
  await rig.store.append(broken, [newEvent({}, 'order.exploded.v1')], 'none')
  // No version of the code has written this: the upcaster falls over it.
  const misshapen = orderStream(randomUUID())
  await rig.store.append(misshapen, [newEvent(null, 'order.placed.v1')], 'none')
  // Nor this: there is no person to be opened early.
  const nobodys = orderStream(randomUUID())
  await rig.store.append(nobodys, [newEvent({ orderId: randomUUID() }, 'order.placed.v2')], 'none')
  for (const life of lives.slice(3)) await append(rig.store, life.placed)
  const errors: string[] = []
  const logger: Logger = Object.create(silentLogger, {
    error: { value: (_: unknown, message: string) => errors.push(message) },
  })
  // What was there before the feed started is read page by page, the next one ahead.
  await rig.start(orders(), { batchSize: 2, logger }).caughtUp()
  expect((await statuses()).size).toBe(4)
  expect((await parked()).map((row) => row.stream)).toEqual([broken, misshapen, nobodys])
  const said = 'an event was parked; later events of its stream wait behind it'
  expect(errors).toEqual([said, said, said])
})

test('what the database refuses is parked with its SQLSTATE, and the others of the batch are applied', async () => {
  const at = '2026-03-01T09:00:00.000Z'
  const received = (sku: string) => ({ type: 'StockReceived' as const, data: { sku, quantity: 5, receivedAt: at } })
  await append(
    rig.store,
    received('a'),
    {
      type: 'StockReserved',
      data: { sku: 'never-received', orderId: orderLife({}).orderId, quantity: 3, reservedAt: at },
    },
    received('b'),
    {
      type: 'ReservationReleased',
      data: { sku: 'never-received', orderId: orderLife({}).orderId, quantity: 1, releasedAt: at },
    },
  )
  const projector = rig.start(createPostgresProjection(rig.database, stockLevels))
  await projector.caughtUp()
  expect(await rig.rows('select sku, on_hand from stock_levels.stock order by sku')).toEqual([
    { sku: 'a', on_hand: 5n },
    { sku: 'b', on_hand: 5n },
  ])
  expect(await parked()).toMatchObject([
    { stream: 'inventory-never-received', revision: 0n, status: 'failed', sqlstate: '23514' },
    { stream: 'inventory-never-received', revision: 1n, status: 'behind' },
  ])
})

test('a projection that fails everywhere stops and says why, instead of parking the world', async () => {
  const lives = Array.from({ length: 5 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  const broken = orders(() => ({
    apply: async () => {
      throw new TypeError('broken everywhere')
    },
  }))
  const projector = rig.start(broken, { policy: { maxParkedStreams: 3, maxAttempts: 1 } })
  await projector.stopped()
  expect(projector.status()).toMatchObject({ state: 'stopped', position: 3n })
  expect(projector.status().error).toContain('broken everywhere')
  expect(await parked()).toHaveLength(3)
})

test('a name that this code does not know is parked, a newer version of a known event is waited for', async () => {
  const [known, strange, newer] = [orderLife({}), orderLife({}), orderLife({})]
  await append(rig.store, strange.placed, newer.placed)
  await rig.store.append(orderStream(strange.orderId), [newEvent({}, 'order.gift-wrapped.v1')], 'any')
  await append(rig.store, strange.shipped, known.placed)
  await rig.store.append('warehouse-1', [newEvent({}, 'warehouse.opened.v1')], 'any')
  const projector = rig.start(orders(), { policy: { waitMs: () => 5 } })
  await projector.caughtUp()
  expect(await parked()).toMatchObject([
    { stream: orderStream(strange.orderId), status: 'failed', error: expect.stringContaining('order.gift-wrapped.v1') },
    { stream: orderStream(strange.orderId), status: 'behind' },
  ])

  await append(rig.store, known.confirmed)
  const { position: before } = await rig.store.readAll({ after: 0n, limit: 100 })
  await rig.store.append(orderStream(newer.orderId), [newEvent({}, 'order.shipped.v7')], 'any')
  await append(rig.store, known.shipped)
  const status = await eventually(
    async () => projector.status(),
    ({ state }) => state === 'waiting',
  )
  expect(status.error).toContain('order.shipped.v7')
  expect(status.position <= before).toBe(true)
  await eventually(statuses, (all) => all.get(known.orderId) === 'confirmed')
  expect(await parked()).toHaveLength(2)
})

test('newer code takes a projection over from older code that waits, which goes on once the event lies behind', async () => {
  const [known, newer] = [orderLife({}), orderLife({})]
  await append(rig.store, newer.placed, known.placed)
  const metrics = createMetrics()
  const old = rig.start(orders(), { policy: { lookAgainMs: 10 }, metrics })
  await old.caughtUp()
  await rig.store.append(orderStream(newer.orderId), [newEvent({}, 'order.confirmed.v2')], 'any')
  await append(rig.store, known.confirmed)
  await eventually(
    async () => old.status(),
    ({ state }) => state === 'waiting',
  )
  const waiting = () => metrics.registry.getSingleMetricAsString('orderlog_projection_waiting')
  expect(await waiting()).toContain('{projection="order_details",reason="newer-event"} 1')
  // To newer code it is an event like any other.
  const feed = createLogEventFeed({
    ...{ store: rig.store, leases: rig.leases, logger: silentLogger },
    decode: (stored) =>
      stored.type === 'order.confirmed.v2'
        ? ({ ...stored, ...newer.confirmed } as unknown as RecordedEvent)
        : decodeEvent(stored),
  })
  const young = rig.start(orders(), { feed })
  try {
    await young.caughtUp()
    expect(await statuses()).toEqual(
      new Map([
        [newer.orderId, 'confirmed'],
        [known.orderId, 'confirmed'],
      ]),
    )
    expect(await parked()).toEqual([])
    await eventually(
      async () => old.status(),
      ({ state }) => state === 'standby',
    )
    expect(await waiting()).toContain('{projection="order_details",reason="newer-event"} 0')
  } finally {
    await young.stop()
    feed.close()
  }
  await append(rig.store, known.shipped)
  await old.caughtUp()
  expect((await statuses()).get(known.orderId)).toBe('shipped')
})

test('two projectors that do not know of each other never apply an event twice', async () => {
  const at = '2026-03-01T09:00:00.000Z'
  const received = (sku: string) => ({ type: 'StockReceived' as const, data: { sku, quantity: 1, receivedAt: at } })
  for (let round = 0; round < 40; round += 1) await append(rig.store, received('a'), received('b'), received('c'))
  // Without a lease each is told to go ahead, as happens when a lease is lost and its holder has not noticed.
  const unfenced = {
    ...rig.feed,
    consume: async function* (_group: string, options: Parameters<typeof rig.feed.consume>[1]) {
      yield* rig.feed.follow({ after: await options.checkpoint(0), signal: options.signal })
    },
  }
  const pair = [1, 2].map(() =>
    rig.start(createPostgresProjection(rig.database, stockLevels), {
      feed: unfenced,
      policy: { waitMs: () => 1 },
    }),
  )
  for (let round = 0; round < 40; round += 1) await append(rig.store, received('a'), received('b'), received('c'))
  await Promise.all(pair.map((projector) => projector.caughtUp()))
  expect(await rig.rows('select sku, on_hand from stock_levels.stock order by sku')).toEqual(
    ['a', 'b', 'c'].map((sku) => ({ sku, on_hand: 80n })),
  )
})

test('a read model that was rebuilt in another engine meanwhile goes on where it stood here', async () => {
  const [before, after] = [orderLife({}), orderLife({})]
  await append(rig.store, before.placed)
  const first = rig.start(orders())
  await first.caughtUp()
  await first.stop()
  await rig.rows("update platform.projections set generation = 2 where name = 'order_details'")
  await append(rig.store, after.placed)
  await rig.start(orders()).caughtUp()
  expect((await statuses()).size).toBe(2)
})

test('a projector that is started again goes on from the checkpoint', async () => {
  const life = orderLife({ lines: [line('lamp', 1, 100)] })
  await append(rig.store, life.placed)
  const first = rig.start(orders())
  await first.caughtUp()
  await first.stop()
  await append(rig.store, life.confirmed)
  let applied = 0
  const second = rig.start(
    orders((definition) => ({
      apply: async (transaction, schema, events, how) => {
        applied += events.length
        await definition.apply(transaction, schema, events, how)
      },
    })),
  )
  await second.caughtUp()
  expect(applied).toBe(1)
  expect(await statuses()).toEqual(new Map([[life.orderId, 'confirmed']]))
})

test('a connection that is cut in the middle of a batch costs nothing', async () => {
  const lives = Array.from({ length: 30 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  let cuts = 0
  const projector = rig.start(
    orders((definition) => ({
      apply: async (transaction, schema, events, how) => {
        await definition.apply(transaction, schema, events, how)
        cuts += 1
        if (cuts > 2) return
        const [own] = await transaction.query<{ pid: number }>('select pg_backend_pid() as pid')
        await rig.database.query('select pg_terminate_backend($1)', [own?.pid])
      },
    })),
  )
  await projector.caughtUp()
  expect(cuts).toBeGreaterThan(2)
  expect(await statuses()).toEqual(new Map(lives.map((life) => [life.orderId, 'placed'])))
  expect(await parked()).toEqual([])
})

test('tables of another version are not written into, until they are of this one', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed, life.confirmed)
  const old = rig.start(orders())
  await old.caughtUp()
  await old.stop()
  const next = orders(() => ({ version: 2 }))
  const refused = rig.start(next)
  await refused.stopped()
  expect(refused.status()).toMatchObject({
    state: 'stopped',
    error: 'order_details is stale: built by version 1, code is 2; rebuild it',
  })
  await rig.rows('update platform.projections set version = 2')
  // It looks again by itself.
  await refused.caughtUp()
  await refused.stop()
  const outdated = rig.start(orders())
  await outdated.stopped()
  expect(outdated.status().error).toContain('built by version 2, code is 1')
})

test('a batch under way while the read model is emptied is not lost, not even the very first', async () => {
  const life = orderLife({})
  const to = await append(rig.store, life.placed)
  const events = await rig.history()
  let release = () => {}
  let arrived = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const writing = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const { sink } = orders((definition) => ({
    apply: async (transaction, schema, batch, how) => {
      await definition.apply(transaction, schema, batch, how)
      arrived()
      await held
    },
  }))
  await sink.prepare(await rig.store.identity())
  const applied = sink.apply({ partition: 0, events, from: 0n, to })
  await writing
  const emptied = sink.reset()
  await eventually(
    () => rig.rows("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"),
    (blocked) => blocked.length > 0,
    { what: 'the reset waiting for the batch' },
  )
  release()
  expect(await applied).toBe('applied')
  await emptied
  const { position } = await sink.checkpoint(0)
  expect([position, await statuses()]).toEqual([0n, new Map()])
})

test('a checkpoint of another log, or ahead of this one, stops the projection with a clear sentence', async () => {
  await append(rig.store, orderLife({}).placed)
  const first = rig.start(orders())
  await first.caughtUp()
  await first.stop()
  await rig.rows('update platform.checkpoints set position = 500')
  const ahead = rig.start(orders())
  await ahead.stopped()
  expect(ahead.status().error).toContain('ahead of the log: its checkpoint is 500, the log ends at 1')
  await rig.rows('update platform.checkpoints set position = 1, log_identity = gen_random_uuid()')
  const foreign = rig.start(orders())
  await foreign.stopped()
  expect(foreign.status().error).toContain('was built from another log')
})
