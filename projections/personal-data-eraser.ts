import type { CustomerEvent } from '../schemas/customer.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { Erasure } from './erasure.ts'
import type { PostgresProjection } from './postgres-sink.ts'

export const isForgotten = (event: RecordedEvent): event is RecordedEvent<CustomerEvent> =>
  event.type === 'PersonalDataForgotten'

/**
 * What is to be erased by those of these events that say so. Only then are schemas loaded, which takes a fifth of a second: each thread
 * of a rebuild would begin with it.
 *
 * @throws what `erasureOf` throws
 */
export const erasuresIn = async (events: readonly RecordedEvent[]): Promise<readonly Erasure[]> => {
  const forgotten = events.filter(isForgotten)
  if (forgotten.length === 0) return []
  const { erasureOf } = await import('./erasure.ts')
  return forgotten.map(erasureOf)
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
    const erasures = await erasuresIn(events)
    // First: whoever writes a row afterwards finds nothing to open.
    await vault.destroy(erasures.flatMap(({ keyIds }) => keyIds))
    // An engine that is away keeps nobody in the others.
    const outcomes = await Promise.allSettled(forgets.map((forget) => forget(erasures)))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure) throw failure.reason
  },
})
