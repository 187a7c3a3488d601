import { EventEmitter, once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeEvent } from '../schemas/codec.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { intercepted } from '../test/support/order-writers.ts'
import {
  append,
  createTestVault,
  openProjectionRig,
  type ProjectionRig,
  streamOf,
} from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { type RefusedRows, refuseNoMore, refuseRows } from '../test/support/refused-rows.ts'
import type { Pace } from './pace.ts'
import type { Projection } from './projection.ts'
import { postgresProjections } from './registry.ts'

let rig: ProjectionRig
let vault: ReturnType<typeof createTestVault>
let projections: readonly Projection[]
let rebuilds: RebuildRig
beforeEach(async () => {
  rig = await openProjectionRig()
  vault = createTestVault()
  projections = postgresProjections({ database: rig.database, vault })
  rebuilds = openRebuildRig(rig, projections)
})
afterEach(async () => {
  await rebuilds.close()
  await rig.close()
})

/** Chunks, windows of several chunks, and nobody to give way to. */
const inWindows = (chunk: number, window: number): Pace => ({
  chunkEvents: () => chunk,
  windowEvents: () => window,
  rest: async () => undefined,
})
const small = inWindows(7, 20)
const policy = { maxAttempts: 1, waitMs: () => 10, lookAgainMs: 10 }

const named = (name: string): Projection => {
  const projection = projections.find((each) => each.name === name)
  if (!projection) throw new Error(name)
  return projection
}
const tables: Readonly<Record<string, string>> = {
  order_details: 'order_details.orders order by order_id',
  order_timeline: 'order_timeline.entries order by order_id, position',
  payments: 'payments.payments order by order_id',
  stock_levels: 'stock_levels.stock order by sku',
  catalogue: 'catalogue.products order by sku',
}
const rowsOf = (name: string) => rig.rows<Record<string, unknown>>(`select * from ${tables[name]}`)
const parked = () =>
  rig.rows<{ stream: string; revision: bigint; status: string; event: { metadata?: unknown } }>(
    'select stream, revision, status, event from platform.parked_events order by position',
  )

const keyOf = (customer: number): string => `00000000-0000-4000-8000-00000000000${customer}`
type Life = ReturnType<typeof orderLife>
const someLives = (count: number): Life[] =>
  Array.from({ length: count }, (_, index) => {
    const personal = vault.seal(keyOf(index % 5), { ...ada, name: `Ada ${index}` })
    return orderLife({ customerId: `customer-${index % 5}`, personal })
  })
/** Some end at once and some live as long as the log. */
const interleaved = (lives: readonly Life[]): DomainEvent[] => {
  const each = (made: (life: Life, index: number) => DomainEvent[]) => lives.flatMap(made)
  return [
    ...each((life, index) => (index % 3 === 0 ? [life.placed, life.confirmed, life.shipped] : [life.placed])),
    ...each((life, index) => (index % 3 === 0 ? [] : [life.confirmed])),
    ...each((life, index) => (index % 3 === 1 ? [life.shipped, life.delivered] : [])),
    ...each((life, index) => (index % 3 === 2 ? [life.cancelled(true)] : [])),
  ]
}
const forgotten = (index: number): DomainEvent => ({
  type: 'PersonalDataForgotten',
  data: { customerId: `customer-${index}`, keyIds: [keyOf(index)], forgottenAt: '2026-03-02T00:00:00.000Z' },
})
const shop = (): DomainEvent[] => {
  const at = '2026-03-01T08:00:00.000Z'
  const product = { name: 'A lamp', description: '', brand: 'Lux', category: 'light' }
  const price = (amount: number) => ({ amount, currency: 'EUR' })
  return ['a', 'b', 'c'].flatMap((sku, index): DomainEvent[] => [
    { type: 'ProductRegistered', data: { ...product, sku, price: price(100 + index), registeredAt: at } },
    { type: 'StockReceived', data: { sku, quantity: 10, receivedAt: at } },
  ])
}
const later = (): DomainEvent[] => [
  {
    type: 'ProductRepriced',
    data: {
      sku: 'b',
      price: { amount: 7, currency: 'EUR' },
      previousPrice: { amount: 101, currency: 'EUR' },
      repricedAt: '2026-03-02T08:00:00.000Z',
    },
  },
  { type: 'StockAdjusted', data: { sku: 'a', delta: -3, reason: 'counted', adjustedAt: '2026-03-02T08:00:00.000Z' } },
]

/** Rows of a generation that PostgreSQL refuses to write, once its tables are there. */
const refusing = (name: string, rows: RefusedRows) => {
  let made = false
  return intercepted(named(name), async (generation, _batch, go) => {
    if (generation === 2 && !made) {
      made = true
      await refuseRows(rig.database, `${name}_g2`, rows)
    }
    return go()
  })
}
const mend = () => refuseNoMore(rig.database, 'order_details_g2')

test.each([inWindows(1, 2), inWindows(7, 20), inWindows(50, 20), inWindows(500, 100_000)])(
  'what is built in windows equals what was applied batch by batch (%#)',
  async (pace) => {
    const lives = someLives(40)
    const events = interleaved(lives)
    const middle = Math.floor(events.length / 2)
    await append(rig.store, ...shop(), ...events.slice(0, middle), forgotten(1), ...events.slice(middle), ...later())
    await append(rig.store, forgotten(3))
    const names = Object.keys(tables)
    for (const name of names) await rig.start(named(name)).caughtUp()
    const before = await Promise.all(names.map(rowsOf))
    expect(names.filter((_, index) => before[index]?.length === 0)).toEqual(['payments'])
    expect(new Set(before[0]?.map((row) => row.name === null))).toEqual(new Set([true, false]))

    rebuilds.startRebuilder({ pace })
    await rebuilds.service.start(names, operator)
    for (const each of names) {
      const done = await rebuilds.comes(each, 'done')
      expect(done.eventsDone).toBe(done.eventsTotal)
    }
    expect(await Promise.all(names.map(rowsOf))).toEqual(before)
  },
)

test('a row that cannot be written parks its event, and every other row is there', async () => {
  const lives = someLives(30)
  const bad = lives[17] as Life
  await append(rig.store, ...interleaved(lives))
  const when = `new.order_id = '${bad.orderId}' and new.status <> 'placed'`
  const mine = openRebuildRig(rig, [refusing('order_details', { when, errcode: '22003', message: 'out of range' })])
  try {
    mine.startRebuilder({ pace: small, policy })
    await mine.service.start(['order_details'], operator)
    const done = await mine.comes('order_details', 'done')
    expect(done.eventsDone).toBe(done.eventsTotal)
    const rows = await rowsOf('order_details')
    expect(rows).toHaveLength(30)
    expect(rows.find((row) => row.order_id === bad.orderId)).toMatchObject({ status: 'placed', revision: 0n })
    expect(rows.filter((row) => row.status === 'placed')).toHaveLength(1)
    const stands = await parked()
    expect(stands.map(({ revision, status }) => [revision, status])).toEqual([
      [1n, 'failed'],
      ...stands.slice(1).map(({ revision }) => [revision, 'behind']),
    ])
    expect(new Set(stands.map(({ stream }) => stream))).toEqual(new Set([streamOf(bad.placed)]))
    // What a rebuild need not read is there for whoever looks at what is parked.
    const [first] = (await rig.store.readStream(streamOf(bad.placed), { from: 1n })).events
    expect(stands[0]?.event.metadata).toEqual(first?.metadata)
  } finally {
    await mine.close()
  }
})

test('a disk that is full when a window is written stops it with the reason, and it is resumed from the window before', async () => {
  const lives = someLives(30)
  await append(rig.store, ...interleaved(lives))
  await rig.start(named('order_details')).caughtUp()
  const before = await rowsOf('order_details')
  const when = `new.order_id = '${lives[29]?.orderId}'`
  const full = { when, errcode: '53100', message: 'could not extend file: No space left on device' }
  const mine = openRebuildRig(rig, [refusing('order_details', full)])
  try {
    mine.startRebuilder({ pace: small, policy })
    await mine.service.start(['order_details'], operator)
    const failed = await mine.comes('order_details', 'failed')
    expect(failed.error).toContain('No space left on device')
    expect(await parked()).toEqual([])
    await mend()
    await mine.service.resume('order_details', operator)
    const done = await mine.comes('order_details', 'done')
    expect(done.eventsDone).toBe(done.eventsTotal)
    expect(await rowsOf('order_details')).toEqual(before)
  } finally {
    await mine.close()
  }
})

test('a server that goes away while a window is written is waited for, and nothing is lost or counted twice', async () => {
  const lives = someLives(30)
  await append(rig.store, ...interleaved(lives))
  await rig.start(named('order_details')).caughtUp()
  const before = await rowsOf('order_details')
  const when = `new.order_id = '${lives[20]?.orderId}'`
  const mine = openRebuildRig(rig, [
    refusing('order_details', { when, errcode: '57P01', message: 'terminating connection' }),
  ])
  try {
    mine.startRebuilder({ pace: small, policy })
    await mine.service.start(['order_details'], operator)
    await eventually(
      () => mine.last('order_details'),
      ({ error }) => error?.includes('PostgreSQL') ?? false,
    )
    expect(await parked()).toEqual([])
    await mend()
    const done = await mine.comes('order_details', 'done')
    expect(done.eventsDone).toBe(done.eventsTotal)
    expect(await rowsOf('order_details')).toEqual(before)
    expect(await parked()).toEqual([])
  } finally {
    await mine.close()
  }
})

test('who dies with a window that is not written is replaced, and what is told of its progress stays true', async () => {
  const lives = someLives(60)
  await append(rig.store, ...interleaved(lives))
  await rig.start(named('order_details')).caughtUp()
  const before = await rowsOf('order_details')
  const midway = new EventEmitter()
  let batches = 0
  const stopping = intercepted(named('order_details'), async (_generation, _batch, go) => {
    batches += 1
    if (batches === 20) {
      midway.emit('reached')
      await once(midway, 'stopped')
    }
    return go()
  })
  const first = openRebuildRig(rig, [stopping])
  const dying = first.startRebuilder({ pace: small })
  await first.service.start(['order_details'], operator)
  await once(midway, 'reached')
  const ended = dying.stop()
  midway.emit('stopped')
  await ended
  const left = await first.last('order_details')
  expect(left.phase).toBe('loading')
  // What it had taken in and told of, a moment before, was not written.
  await rig.rows('update platform.rebuilds set events_done = events_total - 1')
  rebuilds.startRebuilder({ pace: small })
  const done = await rebuilds.comes('order_details', 'done')
  expect(done.eventsDone).toBe(done.eventsTotal)
  expect(await rowsOf('order_details')).toEqual(before)
  await first.close()
})

test('who is forgotten between being taken in and being written is written without a name', async () => {
  const lives = someLives(10)
  await append(rig.store, ...lives.map((life) => life.placed))
  let batches = 0
  const forgetting = intercepted(named('order_details'), async (generation, _batch, go) => {
    const outcome = await go()
    batches += 1
    // The window is open still: all of the log fits into it.
    if (generation === 2 && batches === 2) await vault.destroy([keyOf(0)])
    return outcome
  })
  const mine = openRebuildRig(rig, [forgetting], 1)
  try {
    mine.startRebuilder({ pace: inWindows(4, 1_000) })
    await mine.service.start(['order_details'], operator)
    await mine.comes('order_details', 'done')
    const rows = await rowsOf('order_details')
    expect(rows).toHaveLength(10)
    for (const { personal_key: key, name: known, email, address } of rows)
      expect([known === null, email === null, address === null]).toEqual(Array(3).fill(key === keyOf(0)))
  } finally {
    await mine.close()
  }
})

test('an event that nobody knows is parked from a window whole, and those behind it too', async () => {
  const lives = someLives(12)
  const strange = lives[5] as Life
  await append(rig.store, ...lives.map((life) => life.placed))
  const stored = { ...newEvent({ orderId: strange.orderId }, 'order.gift-wrapped.v1') }
  await rig.store.append(streamOf(strange.placed), [stored], 'any')
  await append(
    rig.store,
    ...lives.map((life) => life.confirmed),
    ...lives.filter((life) => life !== strange).map((life) => life.shipped),
  )
  rebuilds.startRebuilder({ pace: inWindows(7, 1_000), policy })
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  const { events } = await rig.store.readStream(streamOf(strange.placed))
  expect((await parked()).map(({ revision, status, event }) => [revision, status, event.metadata])).toEqual([
    [1n, 'failed', events[1]?.metadata],
    [2n, 'behind', events[2]?.metadata],
  ])
  expect(encodeEvent(strange.confirmed).type).toBe(events[2]?.type)
  const rows = await rowsOf('order_details')
  const isStrange = ({ order_id: id }: (typeof rows)[number]): boolean => id === strange.orderId
  expect(rows.find(isStrange)).toMatchObject({ status: 'placed', confirmed_at: null })
  // What was written beside the parking, and not by a window, is built upon by the windows after it.
  const others = rows.filter((row) => !isStrange(row))
  expect(others).toHaveLength(11)
  for (const row of others) expect(row).toMatchObject({ status: 'shipped', confirmed_at: expect.any(String) })
})
