import type { TSchema } from 'typebox'
import { catalogEvents } from './catalog.ts'
import { customerEvents } from './customer.ts'
import { decodeFact } from './decoding.ts'
import type { StoredFact } from './envelope.ts'
import type { DomainEvent, DomainEventType } from './events.ts'
import { fulfilmentEvents } from './fulfilment.ts'
import { inventoryEvents } from './inventory.ts'
import { orderEvents } from './order.ts'
import { paymentEvents } from './payment.ts'
import { retiredSchemas } from './retired-schemas.ts'
import { storedNames } from './stored-names.ts'
import { type Validation, validate } from './validation.ts'

export const eventSchemas: Record<DomainEventType, TSchema> = {
  ...orderEvents,
  ...paymentEvents,
  ...inventoryEvents,
  ...catalogEvents,
  ...customerEvents,
  ...fulfilmentEvents,
}

/** An event that does not match its own schema must never reach the log: a mistake in the code, not in the request. */
export class InvalidEvent extends Error {
  constructor(type: string, path: string, message: string) {
    super(`a ${type} event is not valid: ${path || 'the data'} ${message}`)
    this.name = 'InvalidEvent'
  }
}

/**
 * The stored form of an event: its newest stored name and its data, checked against the schema.
 *
 * @throws InvalidEvent
 */
export const encodeEvent = (event: DomainEvent): { type: string; data: unknown } => {
  const validation = validate(eventSchemas[event.type], event.data)
  if (!validation.valid) {
    const [problem] = validation.problems
    throw new InvalidEvent(event.type, problem?.path ?? '', problem?.message ?? 'is not valid')
  }
  return { type: storedNames[event.type], data: event.data }
}

/**
 * Checks the data of a stored event of any version that was ever written against the schema of that version.
 *
 * @param place where the event is, for the message of an error
 * @throws UndecodableEvent with code `unknown-event` or `newer-event`
 */
export const validateFact = (stored: StoredFact, place: () => string): Validation<unknown> => {
  const retired: TSchema | undefined = Object.entries(retiredSchemas).find(([name]) => name === stored.type)?.[1]
  return validate(retired ?? eventSchemas[decodeFact(stored, place).type], stored.data)
}
