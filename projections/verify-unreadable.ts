import { UndecodableEvent } from '../schemas/decoding.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'

type Placed = Pick<StoredEvent, 'position' | 'stream' | 'revision'>

/** An event that the plain fold cannot read: no finding where it is parked, and otherwise the end of a verification. */
export class UnreadableEvent extends Error {
  readonly position: bigint
  readonly stream: string
  constructor({ position, stream, revision }: Placed, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(`event ${position} (${stream}@${revision}) cannot be read: ${why}`, { cause })
    this.name = 'UnreadableEvent'
    this.position = position
    this.stream = stream
  }

  /** What the caller is told: its own code has an event that only other code knows. */
  refusal(projection: string): Error {
    if (this.cause instanceof UndecodableEvent) return this.cause
    const detail = `${projection} has gone past it, and ${this.message}.`
    return new CommandRejected('verify-event-unreadable', { projection, position: String(this.position), detail })
  }
}

/**
 * Reads something out of an event.
 *
 * @throws UnreadableEvent
 */
export const reading = <Result>(event: Placed | RecordedEvent, read: () => Result): Result => {
  try {
    return read()
  } catch (error) {
    throw new UnreadableEvent(event, error)
  }
}
