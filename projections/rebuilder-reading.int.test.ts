import { afterEach, beforeEach, expect, test } from 'vitest'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator } from '../test/support/rebuild-rig.ts'
import type { Projection } from './projection.ts'
import { postgresProjections } from './registry.ts'

let rig: ProjectionRig
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(() => rig.close())

/** Notes the position of everything that is read of the log. */
const noting = (store: ProjectionRig['store'], read: bigint[]): ProjectionRig['store'] => ({
  ...store,
  readAll: async (range) => {
    const page = await store.readAll(range)
    read.push(...page.events.map(({ position }) => position))
    return page
  },
})

test('a rebuild of several reads the log once, and of it what one of them handles', async () => {
  const lives = Array.from({ length: 400 }, (_, index) => orderLife({ customerId: `c-${index % 7}` }))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed, life.shipped]))
  await append(rig.store, {
    type: 'StockReceived',
    data: { sku: 'lamp', quantity: 3, receivedAt: '2026-03-01T08:00:00.000Z' },
  })
  const names = ['sales', 'order_details', 'order_timeline']
  const projections = postgresProjections({ database: rig.database, vault: createTestVault() }).filter(({ name }) =>
    names.includes(name),
  )
  for (const projector of projections.map((projection) => rig.start(projection))) {
    await projector.caughtUp()
    await projector.stop()
  }
  const handled = async (some: readonly Projection[]): Promise<bigint[]> =>
    (await rig.store.readAll({ after: 0n, limit: 10_000 })).events
      .filter(({ type }) => some.some(({ types }) => types.includes(type)))
      .map(({ position }) => position)
  /** What is read of the log while these are rebuilt together. */
  const readFor = async (some: readonly Projection[]): Promise<bigint[]> => {
    const read: bigint[] = []
    const rebuilds = openRebuildRig({ database: rig.database, store: noting(rig.store, read) }, some)
    try {
      rebuilds.startRebuilder()
      await rebuilds.service.start(
        some.map(({ name }) => name),
        operator,
      )
      for (const { name } of some) await rebuilds.comes(name, 'done')
    } finally {
      await rebuilds.close()
    }
    return read
  }

  expect(await readFor(projections)).toEqual(await handled(projections))
  const [first] = projections.filter(({ name }) => name === 'sales')
  if (!first) throw new Error('there are sales')
  const alone = await readFor([first])
  expect(alone).toEqual(await handled([first]))
  expect(alone.length).toBeGreaterThanOrEqual(400)
  expect(alone.length).toBeLessThan((await handled(projections)).length)
})
