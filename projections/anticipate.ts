import type { FeedEvent } from '../platform/event-feed.ts'
import type { Relevance } from '../platform/relevance.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { Projection } from './projection.ts'

/** Tells a projection what it will probably be given next. Never throws. */
export const anticipates =
  ({ anticipate }: Pick<Projection, 'anticipate'>, isRelevant: Relevance) =>
  (events: readonly FeedEvent[]): void => {
    if (!anticipate) return
    const recorded: RecordedEvent[] = []
    for (const event of events) {
      if (!isRelevant(event.stored)) continue
      try {
        recorded.push(event.recorded())
      } catch {
        // It is no time to judge it yet: it will be thrown again when the event is applied.
      }
    }
    try {
      anticipate(recorded)
    } catch {
      // The same: an event that its schema would refuse is parked in its turn.
    }
  }
