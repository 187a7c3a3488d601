import { afterEach, beforeEach, expect, test } from 'vitest'
import { type EventStoreDbRig, follow, openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'

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
