import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventStore } from './event-store.ts'
import { LogWentBack } from './failures.ts'

/** Which event it is, and where to find it again, in its stream and in the log. */
export type EventPlace = Pick<StoredEvent, 'id' | 'stream' | 'revision' | 'position'>

/**
 * Whether a log still holds an event where it was. Its stream is asked, not the log at that position: a store whose positions
 * are no index would read everything up to there.
 *
 * @throws EngineUnavailable
 */
export const holdsEvent = async (store: Pick<EventStore, 'readStream'>, place: EventPlace): Promise<boolean> => {
  const { events } = await store.readStream(place.stream, { from: place.revision, limit: 1 })
  // A log that was put back may be given the event again, under its old id and revision, at another position.
  return events[0]?.id === place.id && events[0].position === place.position
}

/** Recognises a log by the last event that was read of it. */
export interface LogContinuity {
  /** Events that the log has just handed out. */
  read(events: readonly StoredEvent[]): void
  /** Asks the log for the last of them. @throws LogWentBack, EngineUnavailable */
  check(): Promise<void>
}

/** @param known a position that the log is known to have reached */
export const createLogContinuity = (store: Pick<EventStore, 'head' | 'readStream'>, known = 0n): LogContinuity => {
  let last: EventPlace | undefined
  return {
    read: (events) => {
      last = events.at(-1) ?? last
    },
    check: async () => {
      if (!last) {
        if (known > 0n && (await store.head()) < known) throw new LogWentBack(known)
        return
      }
      if (!(await holdsEvent(store, last))) throw new LogWentBack(last.position)
    },
  }
}
