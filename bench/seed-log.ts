import { randomUUID } from 'node:crypto'
import type { PersonalDataVault } from '../platform/personal-data.ts'
import { createPostgresImport } from '../platform/postgres-event-store-import.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { newEvent, type Ours } from './ours.ts'
import { lifeOf } from './sample-orders.ts'

const person = {
  name: 'Ada Shopper',
  email: 'ada.shopper@example.com',
  address: { street: '1 Market Street', city: 'Berlin', postalCode: '10115', country: 'DE' },
}

/** Orders that are under way at the same time: so many others happen between two events of one. */
const abreast = 1_000

/**
 * Writes the lives of orders straight into the log, four events each and interleaved with those of others, person sealed
 * under the key of its customer.
 */
export const seedLog = async (
  { database }: Pick<Ours, 'database'>,
  vault: PersonalDataVault,
  orders: number,
): Promise<void> => {
  const write = createPostgresImport(database.execute)
  const recordedAt = new Date().toISOString()
  for (let first = 0; first < orders; first += abreast) {
    const lives = await Promise.all(
      Array.from({ length: Math.min(abreast, orders - first) }, async (_, index) => {
        const orderId = randomUUID()
        const [placed, ...rest] = lifeOf(first + index, orderId)
        if (placed?.type !== 'OrderPlaced') throw new Error('an order begins by being placed')
        const personal = await vault.seal(placed.data.customerId, person)
        return { stream: `order-${orderId}`, events: [{ ...placed, data: { ...placed.data, personal } }, ...rest] }
      }),
    )
    const stored: StoredEvent[] = []
    for (let revision = 0; revision < 4; revision += 1)
      for (const { stream, events } of lives) {
        const event = events[revision]
        // The position is handed out by the log.
        if (event) stored.push({ ...newEvent(event), stream, revision: BigInt(revision), position: 0n, recordedAt })
      }
    const misfit = await write(stored)
    if (misfit) throw new Error(`event ${misfit.index} does not continue its stream`)
  }
  // Otherwise the server does it by itself, beside what is measured.
  await database.query('vacuum analyze log.events')
}
