import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { FeedEvent } from './event-feed.ts'
import { feedEvents } from './feed-event.ts'
import { decodeMessage } from './kafka-message.ts'

/**
 * So many of the newest events, twice as many at most, are parsed and decoded once for all consumers of the process. The
 * older half goes at once: a Map whose first entry is deleted again and again looks for the next one ever longer.
 */
const capacity = 5_000

/** Reads the events in messages. */
export interface MessageReader {
  /** The event of a message that is one and lies at this position. */
  event(position: bigint, value: Buffer): FeedEvent
  /** One that came from the store. */
  fromStore(stored: StoredEvent): FeedEvent
}

export const createMessageReader = (decode: (stored: StoredEvent) => RecordedEvent): MessageReader => {
  let older = new Map<bigint, FeedEvent>()
  let recent = new Map<bigint, FeedEvent>()
  const fromStore = feedEvents(decode)
  return {
    fromStore,
    event: (position, value) => {
      const known = recent.get(position) ?? older.get(position)
      if (known) return known
      const event = fromStore(decodeMessage(value))
      if (recent.size >= capacity) {
        older = recent
        recent = new Map()
      }
      recent.set(position, event)
      return event
    },
  }
}
