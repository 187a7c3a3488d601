import type { DomainEvent } from './events.ts'

/** Why an event exists and who caused it. Every id is a uuid. */
export interface EventMetadata {
  /** The command that decided the event. */
  readonly commandId: string
  /** Shared by everything that one request set in motion. */
  readonly correlationId: string
  /** The event or command that led directly to this one. */
  readonly causationId: string
  /** Who asked: `customer:<id>`, `operator:<id>`, `saga:order-fulfilment`. */
  readonly actor: string
  /** W3C trace context of the request. */
  readonly traceparent?: string
}

/** What a command handler hands to the event store: an event that has a name but no place in the log yet. */
export interface NewEvent {
  /** uuid v5 of command id and index, so that a repeated append is recognised. */
  readonly id: string
  /** The stored name with its version: `order.placed.v2`. */
  readonly type: string
  readonly data: unknown
  readonly metadata: EventMetadata
}

/** An event as the log holds it: stored name, data exactly as written. */
export interface StoredEvent extends NewEvent {
  readonly stream: string
  /** Place in its stream, from 0. */
  readonly revision: bigint
  /** Place in the whole log, from 1; position order is commit order. May have gaps. */
  readonly position: bigint
  /** ISO 8601, UTC, milliseconds. */
  readonly recordedAt: string
}

/** What happened, as the log holds it, without where, when and why. */
export type StoredFact = Pick<StoredEvent, 'type' | 'data'>

/** A stored event in today's language: upcast to the newest version and named as in the code. */
export type RecordedEvent<E extends DomainEvent = DomainEvent> = E & {
  readonly id: string
  readonly stream: string
  readonly revision: bigint
  readonly position: bigint
  readonly metadata: EventMetadata
  readonly recordedAt: string
}
