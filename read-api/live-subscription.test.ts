import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { LiveEvent } from './live-event.ts'
import { createGate } from './live-gate.ts'
import type { Listener, LiveHub } from './live-hub.ts'
import type { Outbox } from './live-outbox.ts'
import type { LiveSource } from './live-source.ts'
import { startSubscription } from './live-subscription.ts'

const eventAt = (position: bigint): LiveEvent => ({
  type: 'order.placed.v2',
  orderId: 'o',
  customerId: 'c',
  revision: position,
  position,
  json: () => '{}',
})

/** Lets every promise that can settle do so. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A log and a hub in memory: `append` is seen by readers at once and by listeners when `deliver` is called. */
const createWorld = (options: { readonly pageSize?: number } = {}) => {
  const log: LiveEvent[] = []
  const listeners = new Set<Listener>()
  const gate = createGate(1)
  let delivered = 0
  let reads = 0
  const sent: { type: string; cursor?: string }[] = []
  let waiting: (() => void)[] = []
  const socket = { hasRoom: true, slow: 0, failures: [] as unknown[], away: 0 }

  const hub: LiveHub = {
    join: async (_topic, listener) => {
      listeners.add(listener)
      return BigInt(delivered)
    },
    leave: (_topic, listener) => void listeners.delete(listener),
    position: () => BigInt(delivered),
  }
  const outbox: Outbox = {
    send: (message) => void sent.push(message as { type: string }),
    sendText: (text) => void sent.push(JSON.parse(text) as { type: string }),
    hasRoom: () => socket.hasRoom,
    room: () => new Promise((resolve) => (socket.hasRoom ? resolve() : waiting.push(resolve))),
    end: () => undefined,
  }
  const engine = async () => {
    reads += 1
    await turn()
    if (socket.away > 0) {
      socket.away -= 1
      throw new EngineUnavailable('PostgreSQL', new Error('gone'))
    }
  }
  const source: LiveSource = {
    topic: 'orders',
    placeOf: (event) => event.position,
    snapshot: async () => {
      await engine()
      return { place: BigInt(log.length), body: { channel: 'orders' } }
    },
    page: async (after, joined) => {
      await engine()
      if (after > BigInt(log.length)) throw new CommandRejected('in-the-future')
      const events = log.slice(Number(after), Number(after) + (options.pageSize ?? 3))
      const place = events.at(-1)?.position ?? after
      return { events, place, done: place >= joined }
    },
  }
  return {
    sent,
    socket,
    listeners,
    append: () => void log.push(eventAt(BigInt(log.length + 1))),
    deliver: () => {
      for (const event of log.slice(delivered)) {
        delivered += 1
        for (const listener of listeners) listener(event)
      }
    },
    makeRoom: (hasRoom: boolean) => {
      socket.hasRoom = hasRoom
      if (!hasRoom) return
      const woken = waiting
      waiting = []
      for (const resolve of woken) resolve()
    },
    reads: () => reads,
    start: (after: bigint | undefined, maxQueue = 1_000) =>
      startSubscription({
        id: 's',
        after,
        source,
        hub,
        outbox,
        gate,
        maxQueue,
        onSlow: () => {
          socket.slow += 1
        },
        onFailure: (error) => void socket.failures.push(error),
      }),
    caughtUp: async () => {
      while (!sent.some((message) => message.type === 'caught-up')) await turn()
    },
    cursors: () => sent.filter((message) => message.type === 'event').map((message) => Number(message.cursor)),
    size: () => log.length,
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

test('wherever appends, deliveries and a full socket fall, every event is sent once and in order', async () => {
  const step = fc.constantFrom('append', 'append', 'deliver', 'full', 'room', 'turn')
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.nat({ max: 30 }),
      fc.nat({ max: 5 }),
      async (steps, at, before) => {
        const world = createWorld()
        for (let n = 0; n < before; n += 1) world.append()
        world.deliver()
        const acts = {
          append: world.append,
          deliver: world.deliver,
          full: () => world.makeRoom(false),
          room: () => world.makeRoom(true),
          turn: () => undefined,
        }
        for (const [index, name] of [...steps, 'turn'].entries()) {
          if (index === Math.min(at, steps.length)) world.start(0n)
          acts[name as keyof typeof acts]()
          if (name === 'turn') await turn()
        }
        world.makeRoom(true)
        world.deliver()
        await world.caughtUp()
        await turn()
        expect(world.cursors()).toEqual(upTo(world.size()))
      },
    ),
    { numRuns: 300 },
  )
})

test('an event that comes between the end of a drain and going live is not lost, however narrow the gap', async () => {
  for (let depth = 0; depth < 12; depth += 1) {
    const world = createWorld()
    world.start(0n)
    world.append()
    await turn()
    world.deliver()
    world.makeRoom(false)
    await turn()
    world.makeRoom(true)
    for (let microtask = 0; microtask < depth; microtask += 1) await null
    world.append()
    world.deliver()
    await turn()
    world.append()
    world.deliver()
    await world.caughtUp()
    expect(world.cursors()).toEqual(upTo(3))
  }
})

test('events that overflow the queue before the past has been read are read from the log', async () => {
  const world = createWorld({ pageSize: 2 })
  for (let n = 0; n < 10; n += 1) world.append()
  world.deliver()
  world.start(0n, 3)
  await turn()
  for (let n = 0; n < 20; n += 1) world.append()
  world.deliver()
  await world.caughtUp()
  expect(world.cursors()).toEqual(upTo(30))
  expect(world.socket.slow).toBe(0)
})

test('a queue that overflows in live is a slow reader, with the cursor of the last event that was sent', async () => {
  const world = createWorld()
  const subscription = world.start(0n, 3)
  await world.caughtUp()
  world.append()
  world.deliver()
  world.makeRoom(false)
  for (let n = 0; n < 4; n += 1) world.append()
  world.deliver()
  expect(world.socket.slow).toBe(1)
  expect(subscription.cursor()).toBe('1')
  subscription.stop()
  expect(world.listeners.size).toBe(0)
})

test('an engine that is away is waited for, and nothing is missed meanwhile', async () => {
  const world = createWorld()
  world.append()
  world.deliver()
  world.socket.away = 2
  world.start(undefined)
  await turn()
  world.append()
  world.deliver()
  await world.caughtUp()
  expect(world.sent[0]).toMatchObject({ type: 'snapshot' })
  const snapshot = Number(world.sent[0]?.cursor)
  expect(world.cursors()).toEqual(upTo(2).slice(snapshot))
  expect(world.socket.failures).toEqual([])
})

test('a refusal ends the subscription and nobody listens any more', async () => {
  const world = createWorld()
  world.start(5n)
  while (world.socket.failures.length === 0) await turn()
  expect(world.socket.failures).toEqual([expect.objectContaining({ code: 'in-the-future' })])
  expect(world.listeners.size).toBe(0)
})

test('a subscription that was stopped while it joined does not listen', async () => {
  const world = createWorld()
  world.start(0n).stop()
  await turn()
  await turn()
  expect(world.listeners.size).toBe(0)
  expect(world.sent).toEqual([])
})

test('a hundred subscriptions to the past of a client that does not read cost one page', async () => {
  const world = createWorld()
  for (let n = 0; n < 10; n += 1) world.append()
  world.deliver()
  const subscriptions = Array.from({ length: 100 }, () => world.start(0n))
  while (world.reads() === 0) await turn()
  world.makeRoom(false)
  for (let n = 0; n < 500; n += 1) await turn()
  expect(world.reads()).toBe(1)
  for (const subscription of subscriptions) subscription.stop()
})

test('what was asked for and given up before its turn came is never read', async () => {
  const world = createWorld()
  world.append()
  const given = Array.from({ length: 100 }, () => world.start(undefined))
  while (world.reads() === 0) await turn()
  for (const subscription of given) subscription.stop()
  const last = world.start(undefined)
  await world.caughtUp()
  expect(world.reads()).toBeLessThan(5)
  last.stop()
})
