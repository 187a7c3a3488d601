import { describeEventStore } from '../../platform/event-store.contract.ts'
import { createMemoryEventStore } from './memory-event-store.ts'

describeEventStore('memory, for tests', async () => ({ store: createMemoryEventStore(), close: async () => undefined }))
