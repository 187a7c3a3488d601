import type { EventMetadata, RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { EventView } from '../schemas/views.ts'

/** What stays inside: ciphertext is of no use to a reader, and a token or key is nobody's business. */
const withheld = new Set(['personal', 'paymentToken', 'gatewayKey'])

/** An event's data without personal data, sealed or not, and without tokens of the payment provider. */
export const publicData = (data: unknown): unknown =>
  typeof data === 'object' && data !== null
    ? Object.fromEntries(Object.entries(data).filter(([name]) => !withheld.has(name)))
    : data

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
export const toEventView = (stored: StoredEvent, decode: (stored: StoredEvent) => RecordedEvent): EventView => {
  const common = {
    id: stored.id,
    stream: stored.stream,
    recordedAt: stored.recordedAt,
    causes: causesOf(stored.metadata),
  }
  try {
    const { type, data } = decode(stored)
    return { ...common, type, readable: true, data: publicData(data) }
  } catch {
    return { ...common, type: stored.type, readable: false, data: null }
  }
}
