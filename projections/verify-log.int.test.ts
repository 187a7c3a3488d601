import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EventStore } from '../platform/event-store.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { createLogReader, nowhere, type Reach } from './verify-log.ts'

let rig: ProjectionRig
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(async () => {
  await rig.close()
})

const at = (position: bigint): Reach => ({ ...nowhere, upTo: () => position, least: position, most: position })
const { signal } = new AbortController()

/** How many events each page may have that is asked for. */
const readerOf = (store: EventStore) => {
  const limits: number[] = []
  const readAll: EventStore['readAll'] = (options) => {
    limits.push(options.limit)
    return store.readAll(options)
  }
  return { limits, reader: createLogReader({ ...store, readAll }, signal, { as: (stored) => stored, edited: [] }) }
}

test('while others append, the log is folded in short pages, and in one go where a moment is held open', async () => {
  await append(rig.store, ...Array.from({ length: 600 }, () => orderLife({}).placed))
  const head = await rig.store.head()
  const { limits, reader } = readerOf(rig.store)
  /** The sizes of pages, and every event once. */
  const fold = async (after: Reach) => {
    const visited: bigint[] = []
    limits.length = 0
    await reader.between(after, at(head), ['OrderPlaced'], ({ position }) => visited.push(position))
    expect(visited).toEqual(Array.from({ length: Number(head - after.least) }, (_, n) => after.least + BigInt(n) + 1n))
    return [...limits]
  }
  // Nobody has looked yet whether anybody else is at work.
  expect((await fold(nowhere)).slice(0, 2)).toEqual([250, 250])
  await eventually(
    () => fold(nowhere),
    (sizes) => sizes.every((size) => size === 500),
  )
  const appending = async () => {
    await rig.store.append(newStream(), newEvents(1), 'none')
    return fold(nowhere)
  }
  await eventually(appending, (sizes) => sizes.every((size) => size === 250))
  expect(await fold(at(1n))).toEqual([500, 500])
  expect(await fold(at(0n))).toEqual([500, 500])
})
