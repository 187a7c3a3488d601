import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EventStore } from '../platform/event-store.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openPostgresEventStore } from '../platform/postgres-event-store.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { putBack } from '../test/support/put-back.ts'
import { rememberCounts } from './counted-types.ts'

let rig: TestDatabase
let store: EventStore & { close(): Promise<void> }
let asked: [upTo: bigint, after: bigint | undefined][]
let clock: number
beforeEach(async () => {
  rig = await openTestDatabase()
  store = openPostgresEventStore({ database: rig.database, logger, pollMs: 20 })
  asked = []
  clock = 0
})
afterEach(async () => {
  await store.close()
  await rig.drop()
})

/** As a process that has just started sees it. */
const open = (): EventStore['countTypes'] =>
  rememberCounts({
    store: {
      ...store,
      countTypes: (upTo, after) => {
        asked.push([upTo, after])
        return store.countTypes(upTo, after)
      },
    },
    database: rig.database,
    now: () => clock,
  })
const grow = async (count: number): Promise<bigint> => {
  for (let left = count; left > 0; left -= 1_000)
    await store.append(newStream(), newEvents(Math.min(left, 1_000)), 'none')
  return store.head()
}

test('of a log that was counted once only the end is counted, by every process', async () => {
  const first = await grow(10_000)
  expect(await open()(first)).toEqual(await store.countTypes(first))
  const second = await grow(5)
  expect(await open()(second)).toEqual(await store.countTypes(second))
  // What is not worth it is not written down.
  const third = await grow(5)
  expect(await open()(third)).toEqual(await store.countTypes(third))
  expect(asked).toEqual([
    [first, 0n],
    [second, first],
    [third, first],
  ])
})

test('what is counted while others append is written down too, where the event is found without reading the log again', async () => {
  const first = await grow(10_000)
  await grow(5)
  await open()(first)
  await open()(first)
  await rig.database.query('delete from platform.counted_types')
  const far = { ...store, seeks: false }
  await rememberCounts({ store: far, database: rig.database })(first)
  expect(asked).toEqual([
    [first, 0n],
    [first, first],
  ])
  expect(await rig.database.query('select from platform.counted_types')).toEqual([])
})

test('an older log that is put back while it is counted vouches for nothing', async () => {
  const first = await grow(10_000)
  let again = false
  const meanwhile = async () => {
    if (again) return
    again = true
    await putBack(rig.database, 5_000n)
    await grow(5_000)
  }
  const count = rememberCounts({
    store: {
      ...store,
      countTypes: async (upTo, after) => {
        const counts = new Map([...(await store.countTypes(upTo, after)), ['order.dreamt-of.v1', 7n]] as const)
        if (again) return store.countTypes(upTo, after)
        await meanwhile()
        return counts
      },
    },
    database: rig.database,
  })
  expect(await count(first)).toEqual(await store.countTypes(first))
  expect(await rig.database.query('select from platform.counted_types')).toEqual([])
})

test('a log that was put back is counted anew, however far it has grown since', async () => {
  const first = await grow(10_000)
  await open()(first)
  await putBack(rig.database, first - 2_000n)
  const again = await grow(3_000)
  expect(await open()(again)).toEqual(await store.countTypes(again))
  await open()(again)
  expect(asked).toEqual([
    [first, 0n],
    [again, 0n],
    [again, again],
  ])
})

test('the count of another log is none of this one, and the way to what was counted is counted', async () => {
  const first = await grow(10_000)
  await open()(first)
  expect(await open()(first - 1n)).toEqual(await store.countTypes(first - 1n))
  expect(await open()(7n)).toEqual(await store.countTypes(7n))
  await rig.database.query(
    `update platform.counted_types set log_identity = gen_random_uuid(), counts = '{"order.dreamt-of.v1": "7"}'`,
  )
  expect(await open()(first)).toEqual(await store.countTypes(first))
  expect(asked).toEqual([
    [first, 0n],
    [first, first - 1n],
    [7n, undefined],
    [first, 0n],
  ])
})

test('what was counted a moment ago is not even looked up', async () => {
  const first = await grow(5)
  const count = open()
  await count(first)
  await count(first)
  expect(asked).toHaveLength(1)
  clock += 60_001
  await count(first)
  expect(asked).toHaveLength(2)
})
