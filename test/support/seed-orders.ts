import { openDatabase } from '../../platform/database.ts'
import { silentLogger } from '../../platform/logging.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import { orderLife } from './order-events.ts'
import { append } from './projection-rig.ts'

/** Writes the lives of orders straight into the log of a platform, two events each: a history that takes a while to read. */
export const seedOrders = async (databaseUrl: string, count: number): Promise<readonly string[]> => {
  const database = openDatabase(databaseUrl, { max: 8, logger: silentLogger })
  const store = openPostgresEventStore({ database, logger: silentLogger })
  const orders: string[] = []
  try {
    for (let written = 0; written < count; written += 100)
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const life = orderLife({ customerId: `seeded-${index}` })
          await append(store, life.placed)
          await append(store, life.confirmed)
          orders.push(life.orderId)
        }),
      )
  } finally {
    await store.close()
    await database.close()
  }
  return orders
}
