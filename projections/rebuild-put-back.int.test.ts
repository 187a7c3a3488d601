import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPutBackRecords } from '../platform/put-back-records.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { rebuildFromZero } from './rebuild-from-zero.ts'
import { postgresProjections } from './registry.ts'

let rig: ProjectionRig
let rebuilds: RebuildRig
const records = () => createPutBackRecords(rig.database)
const ahead = (consumer: string) => records().of(consumer)
const projections = () => postgresProjections({ database: rig.database, vault: createTestVault() })
const orders = () => {
  const found = projections().find(({ name }) => name === 'order_details')
  if (!found) throw new Error('order_details')
  return found
}
beforeEach(async () => {
  rig = await openProjectionRig()
  rebuilds = openRebuildRig(rig, projections())
})
afterEach(async () => {
  await rebuilds.close()
  await rig.close()
})

const rows = () => rig.rows<{ status: string }>('select status from order_details.orders')
const mark = (...consumers: readonly string[]) =>
  records().add(consumers.map((consumer) => ({ consumer, why: 'an older log was put back' })))
const names = async () => (await records().all()).map(({ consumer }) => consumer)

test('a projection that is ahead stands still, is stale, and goes on by itself once it was rebuilt', async () => {
  await append(rig.store, orderLife({}).placed)
  const running = rig.start(orders(), { ahead, lookAgainMs: 20 })
  await running.caughtUp()
  await mark('order_details')
  await append(rig.store, orderLife({}).placed)
  await running.stopped()
  expect(running.status().error).toContain('order_details is ahead of the log: an older log was put back')
  expect(await rows()).toHaveLength(1)
  expect(await rebuilds.service.stale()).toEqual([{ projection: 'order_details', why: 'an older log was put back' }])

  rebuilds.startRebuilder()
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  await append(rig.store, orderLife({}).placed)
  await running.caughtUp()
  expect(await rows()).toHaveLength(3)
  // What was live before the rebuild is as far ahead as it was.
  expect(await names()).toEqual(['order_details@1'])
  await expect(rebuilds.service.swapBack('order_details', operator)).rejects.toMatchObject({
    code: 'generation-not-found',
  })
  await rebuilds.service.drop('order_details', 1, operator)
  expect(await names()).toEqual([])
})

test('a rebuild that was under way when the log was put back begins anew', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed)
  await rig.start(orders()).caughtUp()
  await rebuilds.service.start(['order_details'], operator)
  // Of a log that had this order, too.
  const generation = orders().generations?.at(2)
  await generation?.prepare(await rig.store.identity())
  await rig.rows(`insert into order_details_g2.orders select * from order_details.orders`)
  await rig.rows(`update order_details_g2.orders set status = 'lost'`)
  await rig.rows(
    `insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
     select 'order_details@2', 1, 99, id, 2 from log.identity`,
  )
  await mark('order_details@2')
  rebuilds.startRebuilder()
  await rebuilds.comes('order_details', 'done')
  expect(await rows()).toEqual([{ status: 'placed' }])
  expect(await names()).toEqual([])
})

test('a swap back to a generation that is found ahead of the log builds it anew', async () => {
  await append(rig.store, ...[orderLife({}), orderLife({})].flatMap((life) => [life.placed, life.confirmed]))
  await rig.start(orders()).caughtUp()
  const first = rebuilds.startRebuilder()
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  await first.stop()
  await rebuilds.service.swapBack('order_details', operator)
  await mark('order_details@1')
  rebuilds.startRebuilder()
  expect(await rebuilds.comes('order_details', 'done')).toMatchObject({ generation: 1, eventsDone: 4n })
  expect(await rows()).toEqual([{ status: 'confirmed' }, { status: 'confirmed' }])
})

test('a consumer without a read model is reset, and is not rebuilt', async () => {
  await append(rig.store, orderLife({}).placed)
  const eraser = projections().find(({ name }) => name === 'personal_data_eraser')
  if (!eraser) throw new Error('no eraser')
  const running = rig.start(eraser, { ahead, lookAgainMs: 20 })
  await running.caughtUp()
  await mark('personal_data_eraser')
  await append(rig.store, orderLife({}).placed)
  await running.stopped()
  await rebuildFromZero(rig.store, eraser)
  await running.caughtUp()
  expect(await names()).toEqual([])
})
