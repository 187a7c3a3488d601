import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EventStoreDbRig, follow, openEventStoreDbRig, persistently } from '../test/support/eventstoredb-rig.ts'
import { startEventStoreDbServer } from '../test/support/eventstoredb-server.ts'
import { openHangingProxy } from '../test/support/hanging-proxy.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { maxAppendBytes } from './event-store.ts'
import { openEventStoreDbEventStore } from './eventstoredb-event-store.ts'
import { EngineUnavailable } from './failures.ts'
import { silentLogger } from './logging.ts'

describe('appending to EventStoreDB in trouble', () => {
  let rig: EventStoreDbRig
  beforeAll(async () => {
    rig = await openEventStoreDbRig()
  })
  afterAll(() => rig.close())

  test.each(['written-later', 'written-now'] as const)(
    'a server that hangs (%s) costs our own deadline; the repeat is given the first result',
    async (hang) => {
      const { server, store } = rig
      const stream = newStream()
      const events = newEvents(2)
      await store.append(newStream(), newEvents(1), 'none')
      server.hang(hang)
      await expect(store.append(stream, events, 'none')).rejects.toThrow(EngineUnavailable)
      server.resume()
      const result = await persistently(store, stream, events, 'none')
      expect(result).toMatchObject({ outcome: 'appended', revision: 1n })
      const { events: stored } = await store.readStream(stream)
      expect(stored.map(({ id }) => id)).toEqual(events.map(({ id }) => id))
      expect(result).toMatchObject({ position: stored[1]?.position })
    },
  )

  test('a connection that hangs, with nothing lost, is outlived', async () => {
    const proxy = await openHangingProxy(rig.server.url)
    const store = rig.open(proxy.url)
    const [stream, events] = [newStream(), newEvents(1)]
    await store.append(newStream(), newEvents(1), 'none')
    proxy.hang()
    await expect(store.append(stream, events, 'none')).rejects.toThrow(EngineUnavailable)
    await expect(store.readStream(stream)).rejects.toThrow(EngineUnavailable)
    await expect(store.head()).rejects.toThrow(EngineUnavailable)
    proxy.resume()
    expect(await persistently(store, stream, events, 'none')).toMatchObject({ outcome: 'appended', revision: 0n })
    expect((await store.readStream(stream)).events).toHaveLength(1)
    await proxy.close()
  })

  test('the trouble of one server is no concern of appends to another', async () => {
    const other = await startEventStoreDbServer()
    const elsewhere = rig.open(other.url)
    await elsewhere.append(newStream(), newEvents(1), 'none')
    rig.server.hang('written-now')
    const pending = rig.open().append(newStream(), newEvents(1), 'none')
    await other.kill()
    await expect(elsewhere.append(newStream(), newEvents(1), 'none')).rejects.toThrow(EngineUnavailable)
    rig.server.resume()
    expect(await pending).toMatchObject({ outcome: 'appended' })
  })

  test('connections cut again and again cost a repeat, and lose and double nothing', async () => {
    const { server, store } = rig
    const [writers, rounds] = [16, 25]
    const before = await store.head()
    const following = follow(store, before)
    let writing = true
    const cutting = (async () => {
      while (writing) {
        server.resetConnections()
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
    })()
    await Promise.all(
      Array.from({ length: writers }, async () => {
        const stream = newStream()
        for (let round = 0; round < rounds; round += 1)
          expect(
            await persistently(store, stream, newEvents(1), round === 0 ? 'none' : BigInt(round - 1)),
          ).toMatchObject({ outcome: 'appended', revision: BigInt(round) })
      }),
    )
    writing = false
    await cutting
    await following.reached(writers * rounds)
    await following.stop()
    expect(following.events).toHaveLength(writers * rounds)
    expect(new Set(following.events.map(({ id }) => id)).size).toBe(writers * rounds)
  })

  test('a server killed in the middle of appends and started again holds all that it acknowledged, once', async () => {
    const { server, store } = rig
    const [writers, rounds] = [16, 30]
    const before = await store.head()
    const following = follow(store, before)
    const streams = Array.from({ length: writers }, () => newStream())
    let acknowledged = 0
    let half = (): void => undefined
    const halfDone = new Promise<void>((resolve) => {
      half = resolve
    })
    const writing = streams.map(async (stream) => {
      for (let round = 0; round < rounds; round += 1) {
        const expected = round === 0 ? 'none' : BigInt(round - 1)
        const result = await persistently(store, stream, newEvents(1), expected)
        expect(result).toMatchObject({ outcome: 'appended', revision: BigInt(round) })
        acknowledged += 1
        if (acknowledged === (writers * rounds) / 2) half()
      }
    })
    await halfDone
    await server.kill()
    await expect(store.append(newStream(), newEvents(1), 'none')).rejects.toThrow(EngineUnavailable)
    await expect(store.readStream(streams[0] ?? '')).rejects.toThrow(EngineUnavailable)
    await server.start()
    await Promise.all(writing)
    await following.reached(writers * rounds)
    await following.stop()
    expect(following.events).toHaveLength(writers * rounds)
    for (const stream of streams) {
      const revisions = following.events.filter((event) => event.stream === stream).map(({ revision }) => revision)
      expect(revisions).toEqual(Array.from({ length: rounds }, (_, index) => BigInt(index)))
    }
  })

  test('a new leader is followed: nothing fails, nothing is missed', async () => {
    const leader = await startEventStoreDbServer()
    const heir = await startEventStoreDbServer({ log: leader.log })
    const store = rig.open(leader.url)
    const stream = newStream()
    const following = follow(store, 0n)
    expect(await store.append(stream, newEvents(1), 'none')).toMatchObject({ revision: 0n })
    await following.reached(1)
    leader.followLeader({ host: '127.0.0.1', port: heir.port })
    leader.closeSubscriptions()
    expect(await store.append(stream, newEvents(1), 0n)).toMatchObject({ revision: 1n })
    expect((await store.readStream(stream)).revision).toBe(1n)
    await following.reached(2)
    leader.closeSubscriptions()
    await following.stop()
    expect(heir.connections()).toBeGreaterThan(0)
    await leader.kill()
    await heir.kill()
  })

  test('a repeat that expects nothing is recognised by a server that has forgotten it', async () => {
    const { server, store } = rig
    const stream = newStream()
    const events = newEvents(2)
    const first = await store.append(stream, events, 'any')
    await server.kill()
    await server.start()
    expect(await persistently(store, stream, events, 'any')).toEqual(first)
    expect((await store.readStream(stream)).events).toHaveLength(2)
  })

  test('names that the server keeps for itself are refused, and so is what its limit does not take', async () => {
    const { store } = rig
    await expect(store.append('$system', newEvents(1), 'none')).rejects.toThrow(RangeError)
    await expect(store.append('orderlog-identity', newEvents(1), 'any')).rejects.toThrow(RangeError)
    await expect(store.append(newStream(), [newEvent({}, '$type')], 'none')).rejects.toThrow(RangeError)
    const stream = newStream()
    const type = `test.${'t'.repeat(500)}.v1`
    const tooLarge = newEvent({ text: 'x'.repeat(maxAppendBytes - 1_000) }, type)
    await expect(store.append(stream, [tooLarge], 'none')).rejects.toMatchObject({ code: 'append-too-large' })
    expect((await store.readStream(stream)).revision).toBe('none')
  })

  test('a stream deleted for good is an error, not an outage', async () => {
    const stream = newStream()
    await rig.store.append(stream, newEvents(1), 'none')
    rig.server.log.tombstone(stream, 'any')
    await expect(rig.store.append(stream, newEvents(1), 0n)).rejects.toThrow('was deleted for good')
    await expect(rig.store.readStream(stream)).rejects.not.toThrow(EngineUnavailable)
  })

  test('a closed store refuses, and does not hang', async () => {
    const store = openEventStoreDbEventStore({ url: rig.server.url, logger: silentLogger })
    await store.append(newStream(), newEvents(1), 'none')
    await store.close()
    await expect(store.append(newStream(), newEvents(1), 'none')).rejects.toThrow(EngineUnavailable)
    await expect(store.readStream(newStream())).rejects.toThrow(EngineUnavailable)
  })
})
