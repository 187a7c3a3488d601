import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StoredEvent } from '../schemas/envelope.ts'
import { type EventStoreDbRig, openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { newEvent, newStream } from '../test/support/new-event.ts'
import { createEventStoreDbImport } from './eventstoredb-event-store-import.ts'

let rig: EventStoreDbRig

beforeEach(async () => {
  rig = await openEventStoreDbRig()
  await rig.store.identity()
})
afterEach(() => rig.close())

const stored = (stream: string, revision: bigint, data: unknown = { note: 'Zoë 🦊' }): StoredEvent => ({
  ...newEvent(data),
  ...{ stream, revision, position: 1n, recordedAt: `2026-03-01T09:00:00.${String(revision).padStart(3, '0')}Z` },
})
const withoutPositions = (events: readonly StoredEvent[]) => events.map(({ position: _, ...event }) => event)
const everything = async () => (await rig.store.readAll({ after: 0n, limit: 5_000 })).events

describe('an import into EventStoreDB', () => {
  test('keeps order, id, revision, metadata and the time of recording', async () => {
    const [one, other] = [newStream(), newStream()]
    const events = [stored(one, 0n), stored(one, 1n), stored(other, 0n), stored(one, 2n), stored(other, 1n)]
    const write = createEventStoreDbImport(rig.store, await rig.store.head())
    expect(await write(events.slice(0, 2))).toBeUndefined()
    expect(await write(events.slice(2))).toBeUndefined()
    expect(withoutPositions(await everything())).toEqual(withoutPositions(events))
    expect(withoutPositions((await rig.store.readStream(one)).events)).toEqual(
      withoutPositions(events.filter(({ stream }) => stream === one)),
    )
    // What is appended later has its own time, and no trace of the import.
    await rig.store.append(one, [newEvent()], 2n)
    const last = (await everything()).at(-1)
    expect(Date.parse(last?.recordedAt ?? '')).toBeGreaterThan(Date.parse('2026-06-01'))
    expect(last?.metadata).not.toHaveProperty('recordedAt')
  })

  test('sends neighbours of one stream together, as far as an append may be large', async () => {
    const stream = newStream()
    const large = { text: 'x'.repeat(200_000) }
    const events = Array.from({ length: 12 }, (_, index) => stored(stream, BigInt(index), large))
    const write = createEventStoreDbImport(rig.store, await rig.store.head())
    expect(await write(events)).toBeUndefined()
    expect(withoutPositions(await everything())).toEqual(withoutPositions(events))
  })

  test('says which event does not continue its stream', async () => {
    const [one, other] = [newStream(), newStream()]
    await rig.store.append(one, [newEvent(), newEvent()], 'none')
    const write = createEventStoreDbImport(rig.store, await rig.store.head())
    expect(await write([stored(other, 0n), stored(one, 3n)])).toEqual({ index: 1, continues: 2n })
    expect(await write([stored(newStream(), 1n)])).toEqual({ index: 0, continues: 0n })
  })

  test('may be repeated: what was written with a lost answer is there once', async () => {
    const stream = newStream()
    const events = [stored(stream, 0n), stored(stream, 1n)]
    const head = await rig.store.head()
    await createEventStoreDbImport(rig.store, head)(events)
    expect(await createEventStoreDbImport(rig.store, head)(events)).toBeUndefined()
    expect(withoutPositions(await everything())).toEqual(withoutPositions(events))
  })

  test('notices that somebody else has written to the log', async () => {
    const write = createEventStoreDbImport(rig.store, await rig.store.head())
    await write([stored(newStream(), 0n)])
    await rig.store.append(newStream(), [newEvent()], 'none')
    await expect(write([stored(newStream(), 0n)])).rejects.toMatchObject({ code: 'import-log-differs' })
  })
})
