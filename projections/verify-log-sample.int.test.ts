import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EventStore } from '../platform/event-store.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { type EventStoreDbRig, openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append } from '../test/support/projection-rig.ts'
import { openVerifyRig, type VerifyRig } from '../test/support/verify-rig.ts'
import { sampleLog } from './verify-log-sample.ts'

/** A store whose reads of the log are written down. */
const counted = (store: EventStore) => {
  const reads: bigint[] = []
  const readAll: EventStore['readAll'] = (options) => {
    reads.push(options.after)
    return store.readAll(options)
  }
  return { reads, store: { ...store, readAll } }
}
const { signal } = new AbortController()
const types = namesOf('OrderPlaced')

describe('where a store cannot begin to read anywhere', () => {
  const orders = 1_200
  let esdb: EventStoreDbRig
  let rig: VerifyRig
  beforeAll(async () => {
    esdb = await openEventStoreDbRig()
    rig = await openVerifyRig({ log: esdb.open() })
    for (let index = 0; index < orders; index += 1) await append(rig.store, orderLife({}).placed)
    await rig.store.append(newStream(), newEvents(700), 'none')
    await rig.projectors.get('order_details')?.caughtUp()
  }, 240_000)
  afterAll(async () => {
    await rig?.close()
    await esdb?.close()
  })

  test('a sample of any size reads each page of the log once', async () => {
    const positions = new Set(
      (await rig.store.readAll({ after: 0n, limit: 10_000 })).events.map((each) => each.position),
    )
    for (const count of [1, 50, orders * 2]) {
      const { reads, store } = counted(rig.store)
      const found = await sampleLog({ store, count, types, signal })
      expect(new Set(found.map(({ position }) => position)).size).toBe(Math.min(count, orders))
      expect(found.map(decodeEvent).every(({ type }) => type === 'OrderPlaced')).toBe(true)
      // Two full pages of 500, and the rest.
      expect(reads).toHaveLength(3)
      expect(reads.filter((after) => after > 0n && !positions.has(after))).toEqual([])
    }
  })

  test('every event has the same chance', async () => {
    const all = (await rig.store.readAll({ after: 0n, limit: 10_000, types })).events
    const half = all[orders / 2]?.position ?? 0n
    const found = await sampleLog({ store: rig.store, count: 600, types, signal })
    const early = found.filter(({ position }) => position < half).length
    // 300 are expected, and 200 or 400 are beyond eleven standard deviations.
    expect(early).toBeGreaterThan(200)
    expect(early).toBeLessThan(400)
  })

  test('a verification with a sample does so too, and finds what is wrong', async () => {
    const { reads, store } = counted(rig.store)
    const verifier = rig.verifierWith({ store })
    expect(await verifier.verify('order_details', { sample: 50 })).toMatchObject({ differences: [] })
    // All events of orders that the projection handles: the pages of one pass.
    expect(reads.length).toBeLessThanOrEqual(4)
    await rig.rows('update order_details.orders set units = 77')
    const { differences } = await verifier.verify('order_details', { sample: 50 })
    expect(differences.length).toBeGreaterThan(0)
  }, 120_000)
})

test('where it can, a sample costs a read for each place, however long the log is', async () => {
  const memory = createMemoryEventStore()
  for (let index = 0; index < 5_000; index += 1) await append(memory, orderLife({}).placed)
  const { reads, store } = counted(memory)
  const found = await sampleLog({ store, count: 10, types, signal })
  expect(found.length).toBeLessThanOrEqual(10)
  expect(found.length).toBeGreaterThan(0)
  expect(reads.length).toBeLessThanOrEqual(20)
  // Wanted are about as many as there are: all of them are on a few pages.
  const all = counted(memory)
  expect(await sampleLog({ store: all.store, count: 6_000, types, signal })).toHaveLength(5_000)
  expect(all.reads).toHaveLength(10)
  expect(await sampleLog({ store: createMemoryEventStore(), count: 10, types, signal })).toEqual([])
})

test('events that are rare are found in one pass: a place for each would be the log over and over', async () => {
  const memory = createMemoryEventStore()
  const rare = namesOf('ProductRegistered')
  const others = () => memory.append(newStream(), newEvents(2_000), 'none')
  const products = await Promise.all(
    Array.from({ length: 3 }, async () => {
      await others()
      return memory.append(newStream('product'), [newEvent({}, rare[0])], 'none')
    }),
  )
  await others()
  const { reads, store } = counted(memory)
  const found = await sampleLog({ store, count: 100, types: rare, signal })
  expect(found).toHaveLength(products.length)
  expect(reads.length).toBeLessThan(50)
})
