import { type CustomerEvent, customerEvents } from '../schemas/customer.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { validate } from '../schemas/validation.ts'
import type { PostgresProjection } from './postgres-sink.ts'

/** What a read model holds of a customer who is forgotten. */
export interface Erasure {
  readonly customerId: string
  /** The keys that were destroyed. */
  readonly keyIds: readonly string[]
}

export const isForgotten = (event: RecordedEvent): event is RecordedEvent<CustomerEvent> =>
  event.type === 'PersonalDataForgotten'

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

/** Takes persons out of every generation of a read model. Harmless when repeated. */
export type Forget = (erasures: readonly Erasure[]) => Promise<void>

/**
 * Finishes what forgetting a customer began: the keys named in the event are destroyed, however often the process died
 * between the event and the destruction, and generations that no projector writes lose what they show. It has no tables;
 * only its checkpoint is kept.
 */
export const personalDataEraser = (
  vault: {
    /** Idempotent. */
    destroy(keyIds: readonly string[]): Promise<unknown>
  },
  forgets: readonly Forget[],
): PostgresProjection<CustomerEvent['type']> => ({
  name: 'personal_data_eraser',
  version: 1,
  handles: ['PersonalDataForgotten'],
  ddl: { tables: '', indexes: [] },
  apply: async (_transaction, _schema, events) => {
    const erasures = events.map(erasureOf)
    // First: whoever writes a row afterwards finds nothing to open.
    await vault.destroy(erasures.flatMap(({ keyIds }) => keyIds))
    // An engine that is away keeps nobody in the others.
    const outcomes = await Promise.allSettled(forgets.map((forget) => forget(erasures)))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure) throw failure.reason
  },
})
