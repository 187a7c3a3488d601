import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import { customerStream, orderStream } from '../schemas/streams.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { openRebuildRig } from '../test/support/rebuild-rig.ts'
import { openVerifyRig, type VerifyRig, wholeHistory } from '../test/support/verify-rig.ts'
import { createParkedEvents } from './parked-events.ts'

const who = { operator: 'ada', reason: 'a test' }

let rig: VerifyRig
beforeEach(async () => {
  rig = await openVerifyRig()
})
afterEach(() => rig.close())

/** Events as somebody else has written them, in a stream of an order. */
const write = async (
  orderId: string,
  ...events: readonly (readonly [type: string, data: object])[]
): Promise<bigint> => {
  const stored = events.map(([type, data]) => ({ ...newEvent(data, type), id: randomUUID() }))
  const result = await rig.store.append(orderStream(orderId), stored, 'any')
  if (result.outcome !== 'appended') throw new Error('nobody else writes')
  return result.position
}

/** An order whose confirmation nobody can read, with what has come behind it. */
const spoiledOrder = async (): Promise<string> => {
  const { orderId, placed, shipped } = orderLife({})
  await rig.append(placed)
  await write(orderId, ['order.confirmed.v1', { orderId, customerId: 'ada' }])
  await rig.append(shipped)
  return orderId
}

const sold = async (): Promise<void> => {
  const good = orderLife({ customerId: 'grace' })
  await rig.append(good.placed, good.confirmed)
}

const names = ['order_details', 'order_search', 'order_timeline', 'sales', 'leaderboards'] as const

test('a parked event that cannot be read is no finding, whole or in a sample, and nor is what waits behind it', async () => {
  await spoiledOrder()
  await sold()
  await rig.caughtUp()
  const parked = await rig.rows<{ projection: string }>('select distinct projection from platform.parked_events')
  expect(parked.map(({ projection }) => projection)).toEqual(expect.arrayContaining(['leaderboards', 'sales']))
  for (const name of names)
    for (const sample of [undefined, 10]) {
      const report = await rig.verifier.verify(name, { sample })
      expect({ name, ...report }).toMatchObject({ name, differences: [], position: await rig.store.head() })
    }
  expect(await rig.verifier.verify('sales')).toMatchObject({ parkedStreams: 1 })
})

test.each([
  ['a first event that its upcaster cannot read', 'order.placed.v1', {}],
  ['no data at all', 'order.placed.v2', null],
  ['a name that nobody knows', 'order.gift-wrapped.v1', { orderId: 'x' }],
] as const)('%s is no finding where it is parked', async (_, type, data) => {
  const { orderId, confirmed } = orderLife({})
  await write(orderId, [type, data as object])
  await rig.append(confirmed)
  await sold()
  await rig.caughtUp()
  expect(await rig.rows('select from platform.parked_events where projection = $1', ['order_details'])).not.toEqual([])
  for (const name of names)
    for (const sample of [undefined, 10])
      expect({ name, ...(await rig.verifier.verify(name, { sample })) }).toMatchObject({ name, differences: [] })
})

test('no read model is refused for an event that its projection does not handle', async () => {
  await sold()
  for (const category of ['order', 'payment', 'inventory', 'product', 'customer', 'fulfilment'])
    await rig.store.append(`${category}-${randomUUID()}`, [newEvent({}, `${category}.never-heard-of.v1`)], 'none')
  await rig.caughtUp()
  for (const name of rig.verifier.names)
    expect({ name, ...(await rig.verifier.verify(name)) }).toMatchObject({ name, differences: [] })
})

test('a generation of sums that has parked it, too, is found equal and swapped in', async () => {
  await spoiledOrder()
  await sold()
  await rig.caughtUp()
  const projections = rig.projections.filter(({ name }) => name === 'sales' || name === 'order_details')
  const rebuilds = openRebuildRig(rig, projections)
  rebuilds.startRebuilder({
    verify: async (name, generation) => {
      const { differenceCount } = await rig.verifier.verify(name, { generation })
      return differenceCount > 0 ? 'it differs' : undefined
    },
  })
  try {
    await rebuilds.service.start(['sales', 'order_details'], who)
    for (const name of ['sales', 'order_details']) await rebuilds.comes(name, 'done')
  } finally {
    await rebuilds.close()
  }
  expect(await rig.verifier.verify('sales')).toMatchObject({ differences: [], parkedStreams: 1 })
})

test('one that the projection has gone past and not parked is refused with its place', async () => {
  await spoiledOrder()
  await sold()
  await rig.caughtUp()
  await rig.rows("delete from platform.parked_events where projection = 'sales'")
  const refusal = { code: 'verify-event-unreadable', details: { projection: 'sales', position: '2' } }
  await expect(rig.verifier.verify('sales')).rejects.toMatchObject(refusal)
  await expect(rig.verifier.verify('sales', { repair: who })).rejects.toMatchObject(refusal)
})

const forgottenAt = '2026-06-01T00:00:00.000Z'

test.each([
  ['no data', null],
  ['no keys', { customerId: 'ada', forgottenAt }],
  ['keys that are none', { customerId: 'ada', keyIds: [null], forgottenAt }],
])('an erasure with %s is parked by all who would forget, and no finding', async (_, data) => {
  const { events, gone, refunded } = wholeHistory(rig.vault)
  await rig.append(...events)
  await rig.store.append(customerStream('ada'), [newEvent(data, 'customer.personal-data-forgotten.v1')], 'none')
  const position = await rig.store.head()
  await rig.caughtUp()
  expect(
    await rig.rows('select projection from platform.parked_events where position = $1 order by 1', [position]),
  ).toEqual(['order_details', 'order_search', 'personal_data_eraser'].map((projection) => ({ projection })))
  for (const name of ['order_details', 'order_search'])
    expect(await rig.verifier.verify(name)).toMatchObject({ projection: name, differences: [] })
  await rig.rows("update order_details.orders set name = 'Somebody' where order_id = any ($1)", [
    [gone.orderId, refunded.orderId],
  ])
  expect(await rig.verifier.verify('order_details')).toMatchObject({ differenceCount: 2 })

  await rig.rows("delete from platform.parked_events where projection = 'order_details'")
  await expect(rig.verifier.verify('order_details')).rejects.toMatchObject({
    code: 'verify-event-unreadable',
    details: { projection: 'order_details', position: String(position) },
  })
})

test('edited or discarded, it is what was decided', async () => {
  const orderId = await spoiledOrder()
  const other = await spoiledOrder()
  await rig.caughtUp()
  const { projections, database, store } = rig
  const parkedEvents = createParkedEvents({ database, projections, logger: silentLogger, log: store })
  const { confirmed } = orderLife({ orderId })
  for (const name of ['sales', 'leaderboards']) {
    await parkedEvents.edit(name, orderStream(orderId), 1n, { ...who, data: confirmed.data as never })
    await parkedEvents.discard(name, orderStream(other), 1n, who)
    expect(await rig.verifier.verify(name)).toMatchObject({ differences: [], parkedStreams: 1 })
    expect(await parkedEvents.retry(name, orderStream(orderId), who)).toMatchObject({ parked: 0 })
    expect(await rig.verifier.verify(name)).toMatchObject({ differences: [], parkedStreams: 0 })
  }
})

/** What a newer deploy does: it writes an event that this code cannot read, and applies it. */
const newerDeploy = async (life: ReturnType<typeof orderLife>, type: string): Promise<void> => {
  await rig.caughtUp()
  for (const projector of rig.projectors.values()) await projector.stop()
  const position = await write(life.orderId, [type, { ...life.confirmed.data, newer: true }])
  await rig.rows('update platform.checkpoints set position = $1 where position < $1', [position])
  await rig.rows("update order_details.orders set status = 'confirmed', revision = revision + 1, position = $1", [
    position,
  ])
}

test.each([
  ['order.confirmed.v2', 'newer-event'],
  ['order.gift-wrapped.v1', 'unknown-event'],
])('what only newer code could apply, %s, is refused and not undone', async (type, code) => {
  const life = orderLife({})
  await rig.append(life.placed)
  await newerDeploy(life, type)
  const shown = await rig.rows('select * from order_details.orders')
  for (const name of ['order_details', 'sales', 'leaderboards'])
    for (const options of [{}, { repair: who }])
      await expect(rig.verifier.verify(name, options)).rejects.toMatchObject({ code })
  await expect(rig.verifier.verify('order_details', { sample: 5, repair: who })).rejects.toMatchObject({ code })
  expect(await rig.rows('select * from order_details.orders')).toEqual(shown)
  // It is no affair of those.
  for (const name of ['catalogue', 'stock_levels'])
    expect(await rig.verifier.verify(name)).toMatchObject({ differences: [] })
})

test('a newer event that nobody has applied yet is left alone', async () => {
  const life = orderLife({})
  await rig.append(life.placed)
  await rig.caughtUp()
  const reached = await rig.store.head()
  await write(life.orderId, ['order.confirmed.v2', { ...life.confirmed.data, newer: true }])
  for (const sample of [undefined, 5])
    expect(await rig.verifier.verify('order_details', { sample })).toMatchObject({ differences: [], position: reached })
})

test('what is written while the log is folded is not passed over either', async () => {
  const life = orderLife({})
  await rig.append(life.placed)
  await rig.caughtUp()
  let written = false
  const { store } = rig
  const verifier = rig.verifierWith({
    store: {
      ...store,
      readAll: async (options) => {
        const page = await store.readAll(options)
        if (!written) {
          written = true
          await newerDeploy(life, 'order.confirmed.v2')
        }
        return page
      },
    },
  })
  await expect(verifier.verify('order_details')).rejects.toMatchObject({ code: 'newer-event' })
})
