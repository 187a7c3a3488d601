import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator } from '../test/support/rebuild-rig.ts'
import { orderDetails } from './order-details.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import { rebuildStale } from './rebuild-stale.ts'

let rig: Awaited<ReturnType<typeof openProjectionRig>>
const rigs: ReturnType<typeof openRebuildRig>[] = []
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(async () => {
  for (const each of rigs.splice(0)) await each.close()
  await rig.close()
})

const ofVersion = (version: number) => {
  const projection = createPostgresProjection(rig.database, { ...orderDetails(createTestVault()), version })
  const rebuilds = openRebuildRig(rig, [projection])
  rigs.push(rebuilds)
  return { projection, rebuilds }
}
const reasons = async ({ rebuilds }: ReturnType<typeof ofVersion>) =>
  (await rebuilds.service.stale()).map(({ why }) => why)

test('who swapped back from a release is told to put the former one back, and the release does not build it again by itself', async () => {
  await append(rig.store, orderLife({}).placed)
  const [former, bad, mended] = [ofVersion(1), ofVersion(2), ofVersion(3)]
  await rig.start(former.projection).caughtUp()
  const [first] = await former.rebuilds.service.generations('order_details')
  expect(await reasons(bad)).toEqual(['built by version 1, code is 2'])
  const building = bad.rebuilds.startRebuilder()
  await bad.rebuilds.service.start(['order_details'], operator)
  await bad.rebuilds.comes('order_details', 'done')
  expect(await reasons(former)).toEqual(['built by version 2, code is 1, which has built generation 1: swap it back'])

  await bad.rebuilds.service.swapBack('order_details', operator)
  await bad.rebuilds.comes('order_details', 'done')
  await building.stop()
  expect(await reasons(former)).toEqual([])
  // It is as old as it was.
  expect((await former.rebuilds.service.generations('order_details'))[0]).toEqual(first)
  expect(await reasons(bad)).toEqual([
    'built by version 1, code is 2, whose generation 2 was swapped back: put the former release back',
  ])
  // The bad release is started once more, say because it crashes: it must not put back what was taken from it.
  const { signal } = new AbortController()
  await rebuildStale(bad.rebuilds.service, silentLogger, signal)
  expect(await bad.rebuilds.last('order_details')).toMatchObject({ generation: 1, state: 'done' })
  // One that is mended, or the same after the generation was dropped, is as any other.
  await rebuildStale(mended.rebuilds.service, silentLogger, signal)
  expect(await mended.rebuilds.last('order_details')).toMatchObject({ generation: 3, version: 3, state: 'running' })
  await mended.rebuilds.service.cancel('order_details', operator)
  await mended.rebuilds.service.drop('order_details', 3, operator)
  await bad.rebuilds.service.drop('order_details', 2, operator)
  await rebuildStale(bad.rebuilds.service, silentLogger, signal)
  expect(await bad.rebuilds.last('order_details')).toMatchObject({ generation: 4, version: 2, state: 'running' })
})
