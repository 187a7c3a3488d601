import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { silentLogger as logger } from '../platform/logging.ts'
import { openPostgresEventStore } from '../platform/postgres-event-store.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { eventually } from '../test/support/eventually.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { openTestDatabase } from '../test/support/postgres.ts'
import { append, createTestVault } from '../test/support/projection-rig.ts'
import { orderDetails } from './order-details.ts'
import { createPostgresProjection } from './postgres-sink.ts'

test('a person whom one worker has opened before another worker forgets them is not written afterwards', async () => {
  const { database, drop } = await openTestDatabase()
  const store = openPostgresEventStore({ database, logger })
  const vault = createTestVault()
  let opened = (): void => undefined
  const isOpened = new Promise<void>((resolve) => {
    opened = resolve
  })
  let goOn = (): void => undefined
  const maySave = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const slow: typeof vault = {
    ...vault,
    open: async (sealed) => {
      const persons = await vault.open(sealed)
      opened()
      await maySave
      return persons
    },
  }
  const { sink } = createPostgresProjection(database, orderDetails(slow))
  await sink.prepare(await store.identity())
  const [keyId, customerId] = [randomUUID(), 'customer-1']
  const life = orderLife({ customerId, personal: vault.seal(keyId, ada) })
  const forgotten = { customerId, keyIds: [keyId], forgottenAt: '2026-03-02T00:00:00.000Z' }
  await append(store, life.placed, { type: 'PersonalDataForgotten', data: forgotten })
  const [order, customer] = (await store.readAll({ after: 0n, limit: 2 })).events.map(decodeEvent)
  if (!order || !customer) throw new Error('the events are not there')

  const placing = sink.apply({ partition: 1, events: [order], from: 0n, to: 2n })
  await isOpened
  const forgetting = sink.apply({ partition: 2, events: [customer], from: 0n, to: 2n })
  const waits = eventually(
    // Of this database: others on the same server have locks of their own.
    () =>
      database.query(
        `select from pg_locks l join pg_database d on d.oid = l.database
         where d.datname = current_database() and l.locktype = 'advisory' and not l.granted`,
      ),
    (waiting) => waiting.length > 0,
  )
  await Promise.race([forgetting, waits])
  goOn()
  expect(await Promise.all([placing, forgetting])).toEqual(['applied', 'applied'])
  expect(await database.query('select name, email, address from order_details.orders')).toEqual([
    { name: null, email: null, address: null },
  ])
  await store.close()
  await drop()
})
