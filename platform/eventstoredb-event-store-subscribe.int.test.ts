import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  answers,
  type EventStoreDbRig,
  type Following,
  follow,
  openEventStoreDbRig,
} from '../test/support/eventstoredb-rig.ts'
import { eventually } from '../test/support/eventually.ts'
import { openHangingProxy } from '../test/support/hanging-proxy.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'

const ids = (events: readonly { id: string }[]): string[] => events.map(({ id }) => id)
const ascending = (positions: readonly bigint[]): bigint[] => [...positions].sort((a, b) => (a < b ? -1 : 1))

describe('following EventStoreDB in trouble', () => {
  let rig: EventStoreDbRig
  beforeEach(async () => {
    rig = await openEventStoreDbRig()
  })
  afterEach(() => rig.close())

  /** Writes so many events, each in an append of its own, and says which. */
  const write = async (count: number, type?: string): Promise<string[]> => {
    const stream = newStream()
    const written = Array.from({ length: count }, (_, index) => newEvent({ index }, type))
    for (const [index, event] of written.entries())
      await rig.store.append(stream, [event], index === 0 ? 'none' : BigInt(index - 1))
    return ids(written)
  }

  const hasExactly = (following: Following, written: readonly string[]): void => {
    expect(ids(following.events)).toEqual(written)
    const positions = following.events.map(({ position }) => position)
    expect(positions).toEqual(ascending(positions))
    expect(following.positions).toEqual(ascending(following.positions))
    expect(new Set(following.positions).size).toBe(following.positions.length)
  }

  test('closed in good order, and cut, again and again: no gap and no double', async () => {
    const following = follow(rig.store, 0n)
    const written: string[] = []
    for (let round = 0; round < 10; round += 1) {
      written.push(...(await write(5)))
      await following.reached(written.length)
      if (round % 2 === 0) rig.server.closeSubscriptions()
      else rig.server.resetConnections()
      // The same event each time: one whose answer was lost with the connection is in the log already.
      const stream = newStream()
      const event = newEvent()
      await eventually(
        () => rig.store.append(stream, [event], 'none').then((result) => result.outcome),
        (outcome) => outcome === 'appended',
      )
      written.push(event.id)
    }
    await following.reached(written.length)
    await following.stop()
    hasExactly(following, written)
  })

  test('what is delivered twice is passed on once', async () => {
    rig.server.repeatEvents(3)
    const written = await write(20)
    const following = follow(rig.store, 0n, { pageSize: 7 })
    await following.reached(20)
    written.push(...(await write(20)))
    await following.reached(40)
    await following.stop()
    hasExactly(following, written)
  })

  test('a subscription that falls silent is found out and replaced', async () => {
    const following = follow(rig.store, 0n)
    const written = await write(3)
    await following.reached(3)
    rig.server.silenceSubscriptions()
    written.push(...(await write(3)))
    await following.reached(6)
    // The next ones come by a subscription that is not silent.
    written.push(...(await write(3)))
    await following.reached(9)
    await following.stop()
    hasExactly(following, written)
  })

  test('a server that hangs with its connections open is waited for', async () => {
    const proxy = await openHangingProxy(rig.server.url)
    const following = follow(rig.open(proxy.url), 0n)
    const written = await write(3)
    await following.reached(3)
    proxy.hang()
    written.push(...(await write(3)))
    proxy.resume()
    await following.reached(6)
    await following.stop()
    hasExactly(following, written)
    await proxy.close()
  })

  test('a server that is away and comes back on the same port goes on being followed', async () => {
    const following = follow(rig.store, 0n)
    const written = await write(3)
    await following.reached(3)
    await rig.server.kill()
    await expect(rig.store.head()).rejects.toThrow('EventStoreDB is unavailable')
    await rig.server.start()
    await answers(rig.store)
    written.push(...(await write(3)))
    await following.reached(6)
    await following.stop()
    hasExactly(following, written)
  })

  test('a consumer so slow that the server drops it misses nothing', async () => {
    rig.server.liveBuffer(50)
    let slow = true
    let hold = (): void => undefined
    const held = new Promise<void>((resolve) => {
      hold = resolve
    })
    const following = follow(rig.store, 0n, { pageSize: 4, eachPage: async () => (slow ? held : undefined) })
    const written = await write(1)
    await following.reached(1)
    while (rig.server.dropped() === 0) {
      const events = Array.from({ length: 20 }, () => newEvent({ text: 'x'.repeat(5_000) }))
      await rig.store.append(newStream(), events, 'none')
      written.push(...ids(events))
    }
    slow = false
    hold()
    await following.reached(written.length)
    await following.stop()
    hasExactly(following, written)
  })

  test.each([0, 3])('a checkpoint (%i messages late) never claims what was not handed out', async (delay) => {
    rig.server.delayCheckpoints(delay)
    const wanted = 'test.wanted.v1'
    const written: string[] = []
    // Slow enough for events and checkpoints to pile up behind the page in hand.
    const eachPage = async () => {
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
    const following = follow(rig.store, 0n, { types: [wanted], pageSize: 20, eachPage })
    for (let round = 0; round < 10; round += 1) {
      const events = Array.from({ length: 10 }, () => newEvent({ round }, wanted))
      await rig.store.append(newStream(), newEvents(250), 'none')
      await rig.store.append(newStream(), events, 'none')
      written.push(...ids(events))
    }
    await following.reached(written.length)
    await following.passed(await rig.store.head())
    await following.stop()
    hasExactly(following, written)
    // From each position that was told, the rest and nothing but the rest follows.
    for (const position of following.positions) {
      const rest = following.events.filter((event) => event.position > position)
      const again = await rig.store.readAll({ after: position, limit: 1_000, types: [wanted] })
      expect(ids(again.events)).toEqual(ids(rest))
    }
  })

  test('the position moves with the checkpoints, without asking the log', async () => {
    const following = follow(rig.open(rig.server.url, { idleMs: 3_600_000 }), 0n, { types: ['test.never.v1'] })
    await write(1)
    while (following.positions.length < 3) await rig.store.append(newStream(), newEvents(50), 'none')
    await following.stop()
    const positions = rig.server.log.all.map(({ position }) => position)
    for (const position of following.positions) expect(positions).toContain(position)
  })

  test('the position moves over what is not wanted, and never beyond the last event of ours', async () => {
    const client = EventStoreDBClient.connectionString(rig.server.url)
    const following = follow(rig.store, 0n, { types: ['test.never.v1'] })
    await write(2)
    await client.appendToStream(newStream('foreign'), jsonEvent({ type: 'test.foreign.v1', data: {} }))
    await client.setStreamMetadata(newStream('foreign'), { maxCount: 3 })
    const head = await rig.store.head()
    await following.passed(head)
    await following.stop()
    expect(following.events).toEqual([])
    expect(following.positions.at(-1)).toBe(head)
    const all = await rig.store.readAll({ after: 0n, limit: 100 })
    expect(all.events).toHaveLength(2)
    expect(head).toBe(all.events.at(-1)?.position)
    await client.dispose()
  })

  test('a position that is no event of this log is found a place in it', async () => {
    const written = await write(6)
    const { events } = await rig.store.readAll({ after: 0n, limit: 100 })
    const between = (events[2]?.position ?? 0n) + 1n
    expect(ids((await rig.store.readAll({ after: between, limit: 2 })).events)).toEqual(written.slice(3, 5))
    const following = follow(rig.store, between)
    await following.reached(3)
    await following.stop()
    hasExactly(following, written.slice(3))
  })

  test('a position that no log can have is refused', async () => {
    const signal = new AbortController().signal
    await expect(rig.store.readAll({ after: 2n ** 63n, limit: 1 })).rejects.toThrow(RangeError)
    await expect(
      rig.store
        .subscribe({ after: 2n ** 63n, signal })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toThrow(RangeError)
  })

  test('processes that make the identity at once agree, it stays, and readers of the log do not see it', async () => {
    const stores = Array.from({ length: 8 }, () => rig.open())
    const identities = await Promise.all(stores.map((store) => store.identity()))
    expect(new Set(identities).size).toBe(1)
    await rig.server.kill()
    await rig.server.start()
    await answers(rig.store)
    expect(await rig.store.identity()).toBe(identities[0])
    expect(await rig.store.head()).toBe(0n)
    expect((await rig.store.readAll({ after: 0n, limit: 10 })).events).toEqual([])
  })
})
