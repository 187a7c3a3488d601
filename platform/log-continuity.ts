import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventStore } from './event-store.ts'
import { LogWentBack } from './failures.ts'

/** Recognises a log by the last event that was read of it. */
export interface LogContinuity {
  /** Events that the log has just handed out. */
  read(events: readonly StoredEvent[]): void
  /** Asks the log for the last of them. @throws LogWentBack, EngineUnavailable */
  check(): Promise<void>
}

/** @param known a position that the log is known to have reached */
export const createLogContinuity = (store: Pick<EventStore, 'head' | 'readStream'>, known = 0n): LogContinuity => {
  let last: StoredEvent | undefined
  return {
    read: (events) => {
      last = events.at(-1) ?? last
    },
    check: async () => {
      if (!last) {
        if (known > 0n && (await store.head()) < known) throw new LogWentBack(known)
        return
      }
      const { stream, revision, id, position } = last
      const { events } = await store.readStream(stream, { from: revision, limit: 1 })
      if (events[0]?.id !== id || events[0].position !== position) throw new LogWentBack(position)
    },
  }
}
