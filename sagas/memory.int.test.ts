import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { StartupError } from '../platform/failures.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createCheckpoints } from './checkpoint.ts'
import { forgetSaga } from './memory.ts'

let rig: TestDatabase
beforeEach(async () => {
  rig = await openTestDatabase()
})
afterEach(() => rig.drop())

const identity = randomUUID()
const log = { identity: async () => identity, head: async () => 1_000n }
const mark = () =>
  rig.database.query("insert into platform.put_back (consumer, why) values ('order-fulfilment', 'older')")
const ahead = async () => (await rig.database.query<{ why: string }>('select why from platform.put_back'))[0]?.why
const saga = () => createCheckpoints({ database: rig.database, log, ahead })

test('a saga that is ahead of its log neither begins nor moves its checkpoint, and begins anew once it was reset', async () => {
  const running = saga()
  expect(await running.read(0)).toBe(0n)
  await running.save(0, 40n)
  await mark()
  await expect(saga().read(0)).rejects.toThrow(StartupError)
  await expect(saga().read(0)).rejects.toThrow('The saga is ahead of the log: older')
  await running.save(0, 50n)

  await rig.database.query(
    `insert into saga.instances values ($1, 'c', 'waiting', 'shipment', null, null, 1, 9, now(), now(), 0)`,
    [randomUUID()],
  )
  await rig.database.query("insert into saga.timers (order_id, name, due_at) values ($1, 'retry', now())", [
    randomUUID(),
  ])
  await forgetSaga(rig.database, identity)
  expect(await rig.database.query('select from saga.instances')).toEqual([])
  expect(await rig.database.query('select from saga.timers')).toEqual([])
  const anew = saga()
  expect(await anew.read(0)).toBe(0n)

  // The one from before still runs somewhere: where it stood is nobody's place any more.
  await running.save(0, 60n)
  expect(await saga().read(0)).toBe(0n)
  await anew.save(0, 3n)
  expect(await saga().read(0)).toBe(3n)
})

test('a saga whose checkpoint is of another log is reset to the log as it is', async () => {
  const elsewhere = createCheckpoints({
    database: rig.database,
    log: { identity: async () => randomUUID(), head: async () => 1_000n },
  })
  await elsewhere.read(0)
  await elsewhere.save(0, 7n)
  await expect(saga().read(0)).rejects.toThrow("The saga's checkpoint belongs to log")
  await forgetSaga(rig.database, identity)
  expect(await saga().read(0)).toBe(0n)
})
