import { START } from '@eventstore/db-client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type EventStoreDbRig, follow, openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { createEventStoreDbClient } from './eventstoredb-event-store-client.ts'
import { createReads } from './eventstoredb-event-store-read.ts'

let rig: EventStoreDbRig
beforeEach(async () => {
  rig = await openEventStoreDbRig()
})
afterEach(() => rig.close())

test('no page ends beyond the log, though events that are not ours follow its last one', async () => {
  // Made on first use, and hidden: now the server's log is longer than ours.
  await rig.store.identity()
  expect(await rig.store.head()).toBe(0n)
  expect(await rig.store.readAll({ after: 0n, limit: 10 })).toEqual({ events: [], position: 0n })

  const following = follow(rig.store, 0n)
  await rig.store.append(newStream(), newEvents(2), 'none')
  await following.reached(2)
  const head = await rig.store.head()
  expect((await rig.store.readAll({ after: 0n, limit: 10, types: ['something.else.v1'] })).position).toBe(head)
  await following.stop()
  expect(following.positions.filter((position) => position === 0n || position > head)).toEqual([])
})

test('a single event is read from where it lies; only a place that no event lies at or behind is searched from the start', async () => {
  const client = createEventStoreDbClient(rig.server.url)
  let searches = 0
  const readAll: typeof client.reads.readAll = (options) => {
    if (options?.fromPosition === START) searches += 1
    return client.reads.readAll(options)
  }
  const { readStream, subscribeToAll } = client.reads
  const reads = createReads({ ...client, reads: { readStream, subscribeToAll, readAll } }, 5_000)
  try {
    await rig.store.append(newStream(), newEvents(20), 'none')
    const { events } = await rig.store.readAll({ after: 0n, limit: 100 })
    expect(events).toHaveLength(20)
    for (const { position } of events)
      expect((await reads.readAll({ after: position - 1n, limit: 1 })).events).toMatchObject([{ position }])
    expect(searches).toBe(0)
    const [first, second] = events.map(({ position }) => position)
    if (first === undefined || second === undefined) throw new Error('the log is empty')
    expect(second - first).toBeGreaterThan(2n)
    expect((await reads.readAll({ after: first + 1n, limit: 1 })).events).toMatchObject([{ position: second }])
    expect(searches).toBe(1)
  } finally {
    await client.close()
  }
})
