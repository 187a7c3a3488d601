import type { Connections, Opening } from './compose-opening.ts'
import { waitForEngine } from './engine-wait.ts'
import type { EventStore } from './event-store.ts'
import { openPostgresEventStore } from './postgres-event-store.ts'

/** The log on the engine that the configuration chose. */
export const openStore = async (
  { config, logger, metrics, lifecycle, stopping }: Opening,
  { database }: Pick<Connections, 'database'>,
): Promise<EventStore> => {
  switch (config.eventStore.kind) {
    case 'postgres': {
      const store = openPostgresEventStore({ database, logger, metrics })
      lifecycle.onStop('the event store', store.close)
      return store
    }
    case 'eventstoredb': {
      const { openEventStoreDbEventStore } = await import('./eventstoredb-event-store.ts')
      const store = openEventStoreDbEventStore({ url: config.eventStore.url, logger, metrics })
      lifecycle.onStop('the event store', store.close)
      const engine = { name: 'EventStoreDB', variable: 'EVENTSTORE_URL', host: store.hosts }
      await waitForEngine(engine, store.check, { waitMs: config.engineWaitMs, logger, stopping })
      return store
    }
  }
}
