import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { FeedEvent } from './event-feed.ts'

type Decode = (stored: StoredEvent) => RecordedEvent

/** A class, and no closure: there is one for every event of the log that is read. */
class LazilyDecoded implements FeedEvent {
  readonly stored: StoredEvent
  private readonly decode: Decode
  private decoded: RecordedEvent | undefined

  constructor(stored: StoredEvent, decode: Decode) {
    this.stored = stored
    this.decode = decode
    this.decoded = undefined
  }

  recorded(): RecordedEvent {
    this.decoded ??= this.decode(this.stored)
    return this.decoded
  }
}

/** Makes events of a feed, each decoded when it is first asked for, once. */
export const feedEvents =
  (decode: Decode) =>
  (stored: StoredEvent): FeedEvent =>
    new LazilyDecoded(stored, decode)
