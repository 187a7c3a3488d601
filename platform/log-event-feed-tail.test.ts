import { expect, test, vi } from 'vitest'
import { decodeEvent } from '../schemas/decoding.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import type { EventStore } from './event-store.ts'
import { startTail } from './log-event-feed-tail.ts'
import { silentLogger } from './logging.ts'
import { backOffMs } from './pause.ts'

vi.mock('./pause.ts', { spy: true })

test('a tail that breaks off again and again begins anew at once, if it got on in between', async () => {
  const store = createMemoryEventStore()
  const breaking: EventStore = {
    ...store,
    subscribe: async function* (options) {
      for await (const page of store.subscribe(options)) {
        yield page
        throw new Error('broken off')
      }
    },
  }
  const stop = new AbortController()
  const { signal } = stop
  const toFeedEvent = (stored: Parameters<typeof decodeEvent>[0]) => ({ stored, recorded: () => decodeEvent(stored) })
  const tail = await startTail({ store: breaking, toFeedEvent, capacity: 10, logger: silentLogger, signal })
  for (let head = 1n; head <= 4n; head += 1n) {
    await store.append(newStream(), newEvents(1), 'none')
    await tail.beyond(head - 1n, signal)
  }
  stop.abort()
  expect(vi.mocked(backOffMs).mock.calls.flat()).toEqual([0, 0, 0])
})
