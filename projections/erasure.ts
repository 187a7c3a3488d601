import { type CustomerEvent, customerEvents } from '../schemas/customer.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { validate } from '../schemas/validation.ts'

/** What a read model holds of a customer who is forgotten. */
export interface Erasure {
  readonly customerId: string
  /** The keys that were destroyed. */
  readonly keyIds: readonly string[]
}

/**
 * What an event says is to be erased.
 *
 * @throws Error when it was written by another hand and does not say it: gone past as if there was nothing to erase, the person would stay
 */
export const erasureOf = ({ data }: RecordedEvent<CustomerEvent>): Erasure => {
  const validation = validate(customerEvents.PersonalDataForgotten, data)
  if (validation.valid) return { customerId: data.customerId, keyIds: data.keyIds }
  const said = validation.problems.map(({ path, message }) => `${path} ${message}`.trim())
  throw new Error(`the event does not say what to erase: it ${said.join(', ')}`)
}
