import type { CustomerEvent } from '../schemas/customer.ts'
import type { PostgresProjection } from './postgres-sink.ts'

/**
 * Finishes what forgetting a customer began: the keys named in the event are destroyed, however often the process died
 * between the event and the destruction. It has no tables; only its checkpoint is kept.
 */
export const personalDataEraser = (vault: {
  /** Idempotent. */
  destroy(keyIds: readonly string[]): Promise<unknown>
}): PostgresProjection<CustomerEvent['type']> => ({
  name: 'personal_data_eraser',
  version: 1,
  handles: ['PersonalDataForgotten'],
  ddl: { tables: '', indexes: '' },
  apply: async (_transaction, _schema, events) => {
    await vault.destroy(events.flatMap((event) => event.data.keyIds))
  },
})
