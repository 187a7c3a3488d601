import { randomUUID } from 'node:crypto'
import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client'
import { openEventStoreDbEventStore } from '../../platform/eventstoredb-event-store.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import type { Contender, Row } from '../contender.ts'
import { openEventStoreDb } from '../eventstoredb.ts'
import { drive } from '../measure.ts'
import { newEvent } from '../ours.ts'
import { confirmed } from '../sample-orders.ts'

const callers = 64
const count = 10_000

const ours: Contender = {
  count,
  rounds: 5,
  open: async () => {
    const { url, note, close } = await openEventStoreDb()
    const store = openEventStoreDbEventStore({ url, logger })
    return {
      run: async (count) => ({
        note,
        ...(await drive({ callers, count }, async (index) => {
          const { outcome } = await store.append(`order-${randomUUID()}`, [newEvent(confirmed(index))], 'none')
          if (outcome !== 'appended') throw new Error('a new stream was not new')
        })),
      }),
      close: () => store.close().then(close),
    }
  },
}

const raw: Contender = {
  count,
  rounds: 5,
  open: async () => {
    const { url, close } = await openEventStoreDb()
    const client = EventStoreDBClient.connectionString(url)
    return {
      run: (count) =>
        drive({ callers, count }, (index) => {
          const { id, type, data, metadata } = newEvent(confirmed(index))
          const event = jsonEvent({ id, type, data: { ...(data as object) }, metadata: { ...metadata } })
          return client.appendToStream(`order-${randomUUID()}`, event, { expectedRevision: NO_STREAM })
        }),
      close: () => client.dispose().then(close),
    }
  },
}

export const appendEventStoreDb: Row = {
  name: 'append-eventstoredb-64',
  unit: 'events/s',
  compares:
    `${callers} callers, each appending one event of 300 bytes to a new stream in EventStoreDB; ` +
    'raw: appendToStream of the client, which batches. Goal: 0.9x the raw client.',
  ours,
  raw,
}
