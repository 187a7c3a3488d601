import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { FeedEvent } from './event-feed.ts'
import { LogWentBack } from './failures.ts'
import { feedEvents } from './feed-event.ts'
import { decodeMessage, isMessageOf } from './kafka-message.ts'
import type { LogWatch } from './log-watch.ts'

/**
 * So many of the newest events, twice as many at most, are parsed and decoded once for all consumers of the process. The
 * older half goes at once: a Map whose first entry is deleted again and again looks for the next one ever longer.
 */
const capacity = 5_000

/** Reads the events in messages. */
export interface MessageReader {
  /**
   * The event of a message that is one and lies at this position.
   *
   * @throws LogWentBack when another event was read at this position: a log that was put back gives positions out again
   */
  event(position: bigint, value: Buffer): FeedEvent
  /** One that came from the store. */
  fromStore(stored: StoredEvent): FeedEvent
}

export const createMessageReader = (
  decode: (stored: StoredEvent) => RecordedEvent,
  watch: Pick<LogWatch, 'read' | 'breakOff'>,
): MessageReader => {
  let older = new Map<bigint, FeedEvent>()
  let recent = new Map<bigint, FeedEvent>()
  const toEvent = feedEvents(decode)
  const fromStore = (stored: StoredEvent): FeedEvent => {
    watch.read(stored)
    return toEvent(stored)
  }
  return {
    fromStore,
    event: (position, value) => {
      const known = recent.get(position) ?? older.get(position)
      if (known) return isMessageOf(value, known.stored.id) ? known : watch.breakOff(new LogWentBack(position))
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
