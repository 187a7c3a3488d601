import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { EngineUnavailable, LogWentBack } from '../platform/failures.ts'
import { silentLogger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { FulfilmentEvent } from '../schemas/fulfilment.ts'
import { fulfilmentStream, orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { createSagaWorld, type SagaWorld } from '../test/support/saga-world.ts'
import { createAdvance } from './advance.ts'
import { createInstances } from './instances.ts'
import { defaultProcessManagerConfig } from './process-manager-config.ts'
import { commandIdOf } from './step-commands.ts'

let world: SagaWorld
const line = [{ sku: 'a', quantity: 1 }]
const away = new EngineUnavailable('memory', new Error('a fault of the test'))

beforeEach(async () => {
  world = createSagaWorld()
  await world.receive('a', 1_000)
})
afterEach(() => {
  for (const life of world.living()) life.kill()
})

const statusOf = (orderId: string) => world.tables.rows.get(orderId)?.status
const shippable = async (name: string): Promise<string> => {
  const orderId = await world.place(name, 'tok_approve', line)
  await world.settle()
  expect(statusOf(orderId)).toBe('waiting')
  return orderId
}
const nudge = async (orderId: string) => {
  await world.tables.setTimer(orderId, 'retry', new Date(0))
  await world.fireDue()
  await world.turns(3)
  await world.settle()
}
/** What another process puts on the record. */
const elsewhere = async (orderId: string, events: readonly FulfilmentEvent[]) => {
  const instances = createInstances({ store: world.store, capacity: 0 })
  const instance = await instances.get(orderId)
  const caused = events.map((event) => ({ event, causationId: orderId }))
  await instances.append(instance, caused, instance.origin ?? { correlationId: orderId })
}

test('an order that was set aside loses nothing: tried again, it ships what it had missed', async () => {
  world.start()
  const orderId = await shippable('one')
  world.blocked.set(fulfilmentStream(orderId), new Error('a mistake'))
  await world.ship(orderId)
  await eventually(async () => world.tables.broken.get(orderId), Boolean)
  world.blocked.clear()
  await nudge(orderId)
  expect(statusOf(orderId)).toBe('completed')
})

test('an order that a store does not serve is left to a timer, and the checkpoint moves on', async () => {
  world.start({ postponeAfter: 2 })
  const orderId = await shippable('one')
  world.blocked.set(fulfilmentStream(orderId), away)
  await world.ship(orderId)
  expect(await world.settle()).toBe(true)
  expect(statusOf(orderId)).toBe('waiting')
  world.blocked.clear()
  world.turnClock(10_000)
  await world.fireDue()
  await world.turns(3)
  await world.settle()
  expect(statusOf(orderId)).toBe('completed')
})

test('one order that hangs stops no other, however many come after it', async () => {
  world.start({ readAhead: 20, postponeAfter: 1_000 })
  const stuck = await shippable('stuck')
  world.blocked.set(fulfilmentStream(stuck), away)
  await world.ship(stuck)
  const others: string[] = []
  for (let index = 0; index < 60; index += 1) {
    others.push(await world.place(`${index}`, 'tok_approve', line))
    await world.turns(3)
  }
  await eventually(
    async () => others.filter((orderId) => statusOf(orderId) === 'waiting').length,
    (count) => count === others.length,
  )
  expect(statusOf(stuck)).toBe('waiting')
})

test('a timer looks at the log, not at what this process remembers of an order that another one led on', async () => {
  world.start()
  const orderId = await shippable('one')
  const at = new Date(0).toISOString()
  await elsewhere(orderId, [
    { type: 'ShipmentSeen', data: { orderId, at } },
    { type: 'StepFailed', data: { orderId, step: 'capture', error: 'no', attempt: 1, retryAt: at, at } },
  ])
  await nudge(orderId)
  expect(statusOf(orderId)).toBe('completed')
})

test('a log that was put back ends the saga at once, whatever it is in the middle of', async () => {
  const { subscribe } = world.store
  const back = new AbortController()
  world.store.subscribe = async function* (options) {
    yield* subscribe({ ...options, signal: AbortSignal.any([options.signal, back.signal]) })
    if (back.signal.aborted) throw new LogWentBack(1n)
  }
  const life = world.start({ drainMs: 3_600_000, postponeAfter: 1_000 })
  const orderId = await shippable('one')
  world.blocked.set(fulfilmentStream(orderId), away)
  await world.ship(orderId)
  await eventually(async () => life.manager.status().busy, Boolean)
  back.abort()
  await eventually(async () => life.dead, Boolean)
})

test("an operator's decision counts even in one bunch with a repeated beginning", async () => {
  const life = world.start()
  const orderId = await shippable('one')
  life.kill()
  const at = new Date(0).toISOString()
  await elsewhere(orderId, [
    { type: 'ShipmentSeen', data: { orderId, at } },
    { type: 'LineCommitted', data: { orderId, sku: 'a', at } },
    { type: 'FulfilmentParked', data: { orderId, step: 'capture', error: 'no', attempts: 1, at } },
  ])
  const instances = createInstances({ store: world.store, capacity: 10 })
  const { revision } = await instances.get(orderId)
  await elsewhere(orderId, [
    { type: 'StepSkipped', data: { orderId, step: 'capture', operator: 'ann', reason: 'by hand', at } },
  ])
  const advance = createAdvance({
    ...{ instances, issue: async () => ({ outcome: 'done' }), tables: world.tables, store: world.store },
    ...{ clock: systemClock, logger: silentLogger, config: defaultProcessManagerConfig },
  })
  const { events } = await world.store.readStream(orderStream(orderId), { limit: 1 })
  const [placed] = events.map(decodeEvent)
  if (placed?.type !== 'OrderPlaced' || revision === 'none') throw new Error('the order is missing')
  await advance(orderId, [
    { trigger: placed, event: placed },
    { trigger: { type: 'Nudge' }, atLeast: revision + 1n },
  ])
  expect(statusOf(orderId)).toBe('completed')
})

test('an order with an event whose name nobody knows is set aside, visibly, until code that knows it is told to retry', async () => {
  world.start()
  const [strange, other] = [await shippable('one'), await shippable('two')]
  await world.store.append(orderStream(strange), [newEvent({}, 'order.gift-wrapped.v1')], 'any')
  await eventually(async () => world.tables.broken.get(strange), Boolean)
  expect(world.tables.broken.get(strange)).toMatch(/order-.*@2\) is a "order.gift-wrapped.v1", a name/)
  // What comes later waits: nobody knows whether the order may be charged.
  const shipped = { orderId: strange, customerId: 'customer-1', carrier: 'DHL', trackingId: 'T1' }
  const at = '2026-11-21T10:00:00.000Z'
  await world.store.append(orderStream(strange), [newEvent({ ...shipped, shippedAt: at }, 'order.shipped.v1')], 'any')
  await world.ship(other)
  await world.settle()
  expect([statusOf(strange), statusOf(other)]).toEqual(['waiting', 'completed'])
  // Also after a restart, and when the same code is told to retry.
  for (const life of world.living()) life.kill()
  world.start()
  await world.settle()
  await nudge(strange)
  expect([statusOf(strange), world.tables.broken.has(strange)]).toEqual(['waiting', true])
  const charged = [...world.gateway.books.values()].filter(({ status }) => status === 'captured')
  expect(charged.map(({ orderId }) => orderId)).toEqual([other])
})

test('a reservation that comes late to an order that was refused finds the door closed, although there is stock by then', async () => {
  world.start()
  const orderId = await world.place('one', 'tok_approve', [{ sku: 'scarce', quantity: 1 }])
  await world.settle()
  expect(statusOf(orderId)).toBe('cancelled')
  await world.receive('scarce', 1)
  const at = '2026-11-21T09:30:00.000Z'
  const commandId = commandIdOf(orderId, 'reserve:scarce')
  const late = world.shop.handle(
    { type: 'ReserveStock', at, orderId, sku: 'scarce', quantity: 1 },
    { commandId, correlationId: orderId, causationId: orderId, actor: 'saga:order-fulfilment' },
  )
  await expect(late).rejects.toMatchObject({ code: 'reservation-settled' })
  expect(await world.shop.inventories.load('scarce')).toMatchObject({ onHand: 1, reserved: 0 })
})

test('an order whose saga version only newer code has is left to newer code', async () => {
  const life = world.start()
  const orderId = await shippable('one')
  life.kill()
  const { events } = await world.store.readStream(fulfilmentStream(orderId), { limit: 1 })
  const newer = '0d6f7a52-8f64-4d4e-9a53-6b1f0c1c7a02'
  const data = { ...(events[0]?.data as object), orderId: newer, sagaVersion: 99 }
  await world.store.append(fulfilmentStream(newer), [newEvent(data, 'fulfilment.started.v1')], 'none')
  world.start()
  await nudge(newer)
  expect(world.tables.broken.size).toBe(0)
  expect(world.tables.timers.get(`${newer} retry`)?.dueAt).toBe('2026-11-21T09:30:05.000Z')
})

test('a newer version of an event is left to newer code, and nothing behind it is acted upon meanwhile', async () => {
  const life = world.start({ lookAgainMs: 1 })
  const [newer, other] = [await shippable('one'), await shippable('two')]
  await world.store.append(orderStream(newer), [newEvent({}, 'order.shipped.v2')], 'any')
  const position = await world.store.head()
  await world.ship(other)
  const { waiting } = await eventually(
    async () => life.manager.status(),
    (status) => status.waiting !== undefined,
  )
  expect(waiting).toContain('"order.shipped.v2", a newer version than this code knows')
  expect(life.manager.status().position < position).toBe(true)
  expect([statusOf(newer), statusOf(other), world.tables.broken.size]).toEqual(['waiting', 'waiting', 0])
  // Newer code has gone past it.
  await world.checkpoints.save(0, position)
  await eventually(
    async () => statusOf(other),
    (status) => status === 'completed',
  )
  expect(life.manager.status().waiting).toBeUndefined()
})
