import type { RecordedEvent } from '@eventstore/db-client'
import type { EventMetadata, StoredEvent } from '../schemas/envelope.ts'

/** The stream that holds the log's identity; readers of the log are not shown it. */
export const identityStream = 'orderlog-identity'

/** The greatest position a node can have; a greater one breaks the client. */
export const maxPosition = 2n ** 63n - 1n

export const positionOf = (event: RecordedEvent): bigint => {
  if (!event.position) throw new Error('the server does not tell positions; EventStoreDB 22.6 or newer does')
  return event.position.commit
}

/**
 * Whether an event was appended by Orderlog. The log of a node also holds the node's own events and links (`$...`), and
 * may hold those of other applications.
 */
export const isOurs = (event: RecordedEvent): boolean =>
  event.isJson &&
  !event.type.startsWith('$') &&
  !event.streamId.startsWith('$') &&
  event.streamId !== identityStream &&
  typeof event.metadata === 'object' &&
  event.metadata !== null &&
  'commandId' in event.metadata

/**
 * Metadata in a log that was imported also say when the event was recorded first: the server knows only when it was
 * written to it.
 */
export interface ImportedMetadata extends EventMetadata {
  readonly recordedAt?: string
}

export const toStoredEvent = (event: RecordedEvent): StoredEvent => {
  const { recordedAt, ...metadata } = event.metadata as unknown as ImportedMetadata
  return {
    id: event.id,
    stream: event.streamId,
    revision: event.revision,
    position: positionOf(event),
    type: event.type,
    data: event.data,
    metadata,
    recordedAt: recordedAt ?? event.created.toISOString(),
  }
}
