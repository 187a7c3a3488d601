import { UndecodableEvent } from '../schemas/decoding.ts'
import type { EventMetadata, RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { EventView } from '../schemas/views.ts'
import { publicData } from '../schemas/withheld.ts'

const causesOf = ({ commandId, correlationId, causationId, actor }: EventMetadata): EventView['causes'] => ({
  commandId,
  correlationId,
  causationId,
  actor,
})

/**
 * An event as clients see it. One that this version of the code cannot read is shown by its stored name and without
 * its data, so that the sequence stays whole.
 */
export const toEventView = (
  stored: StoredEvent,
  decode: (stored: StoredEvent) => RecordedEvent,
  onUnreadable: (error: unknown) => void = () => undefined,
): EventView => {
  const common = {
    id: stored.id,
    stream: stored.stream,
    recordedAt: stored.recordedAt,
    causes: causesOf(stored.metadata),
  }
  try {
    const { type, data } = decode(stored)
    return { ...common, type, readable: true, data: publicData(data) }
  } catch (error) {
    onUnreadable(error)
    return { ...common, type: stored.type, readable: false, data: null }
  }
}

/**
 * The same for who can ask another server, or this one once it is updated: only an event whose name nobody here knows is
 * shown without its data.
 *
 * @throws UndecodableEvent `newer-event`
 */
export const toReadableView = (stored: StoredEvent, decode: (stored: StoredEvent) => RecordedEvent): EventView =>
  toEventView(stored, decode, (error) => {
    if (error instanceof UndecodableEvent && error.code === 'newer-event') throw error
  })
