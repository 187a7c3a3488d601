import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createPostgresSearchIndex } from '../platform/postgres-search-index.ts'
import { eventually } from '../test/support/eventually.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator } from '../test/support/rebuild-rig.ts'
import { orderSearch } from './order-search.ts'
import { postgresProjections } from './registry.ts'

const names = ['order_details', 'order_search']

test('a customer who is forgotten stands in no generation that is kept, and does not come back with it', async () => {
  const rig = await openProjectionRig()
  const vault = createTestVault()
  const { database } = rig
  const schemas = { products: 'product_search', orders: 'order_search' }
  const index = createPostgresSearchIndex({ database, schemas })
  const projections = [
    ...postgresProjections({ database, vault, forgetSearch: index.forget }),
    orderSearch({ index: index.orders, vault }),
  ]
  const of = (name: string) => projections.filter((projection) => projection.name === name)
  const [keyId, otherKey] = [randomUUID(), randomUUID()]
  const lives = [keyId, otherKey].map((key, at) =>
    orderLife({ customerId: `customer-${at}`, personal: vault.seal(key, ada) }),
  )
  await append(rig.store, ...lives.map((life) => life.placed))
  const live = names.flatMap(of).map((projection) => rig.start(projection))
  for (const projector of live) await projector.caughtUp()
  const rebuilds = openRebuildRig(rig, projections)
  const rebuilder = rebuilds.startRebuilder()
  await rebuilds.service.start(names, operator)
  for (const name of names) await rebuilds.comes(name, 'done')
  await rebuilder.stop()

  // One that is being built stands where it was stopped.
  await rebuilds.service.start(['order_details'], operator)
  await of('order_details')[0]
    ?.generations?.at(3)
    .prepare(await rig.store.identity())
  await rig.rows('insert into order_details_g3.orders select * from order_details.orders')
  const shown = async (suffix: string) => [
    await rig.rows(`select name, email, address from order_details${suffix}.orders order by customer_id`),
    await rig.rows(`select person ->> 'name' as name, person_words from order_search${suffix}.orders order by version`),
    await rig.rows(`select distinct key_id from order_search${suffix}.words where key_id <> $1 and key_id = any ($2)`, [
      otherKey,
      [keyId, otherKey],
    ]),
  ]
  const before = await shown('_g1')
  expect(before).toEqual(await shown(''))
  expect(before[2]).toEqual([{ key_id: keyId }])

  // Those who write the live generation are away: nobody else can have emptied it.
  for (const projector of live) await projector.stop()
  const [eraser] = of('personal_data_eraser').map((projection) => rig.start(projection))
  const forgotten = { customerId: 'customer-0', keyIds: [keyId], forgottenAt: '2026-03-02T00:00:00.000Z' }
  await append(rig.store, { type: 'PersonalDataForgotten', data: forgotten })
  await eraser?.caughtUp()
  const after = [
    [{ name: null, email: null, address: null }, (before[0] ?? [])[1]],
    [{ name: null, person_words: '' }, (before[1] ?? [])[1]],
    [],
  ]
  expect(await shown('_g1')).toEqual(after)
  expect(await shown('')).toEqual(after)
  expect(await rig.rows('select name, email, address from order_details_g3.orders order by customer_id')).toEqual(
    after[0],
  )

  await rebuilds.service.cancel('order_details', operator)
  await rebuilds.service.drop('order_details', 3, operator)
  rebuilds.startRebuilder()
  for (const name of names) {
    await rebuilds.service.swapBack(name, operator)
    await eventually(
      () => rebuilds.last(name),
      (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
    )
  }
  expect(await shown('')).toEqual(after)
  await rebuilds.close()
  await rig.close()
})
