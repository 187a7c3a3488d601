import { describe } from 'vitest'
import { startEventStoreDbServer } from '../test/support/eventstoredb-server.ts'
import { describeEventStore } from './event-store.contract.ts'
import { openEventStoreDbEventStore } from './eventstoredb-event-store.ts'
import { silentLogger as logger } from './logging.ts'

const node = process.env.EVENTSTORE_URL

describeEventStore('EventStoreDB, on the test server', async () => {
  const server = await startEventStoreDbServer()
  const store = openEventStoreDbEventStore({ url: server.url, logger })
  return { store, close: () => store.close().then(server.kill) }
})

describe.skipIf(!node)(`the node of EVENTSTORE_URL${node ? '' : ' (skipped: EVENTSTORE_URL is unset)'}`, () =>
  describeEventStore('EventStoreDB', async () => {
    const store = openEventStoreDbEventStore({ url: node ?? '', logger })
    return { store, close: store.close }
  }),
)
