import { removePutBack } from '../platform/put-back-records.ts'
import type { Log } from './admission.ts'
import { forgetParked } from './parking.ts'
import type { Projection } from './projection.ts'

/**
 * Empties a read model so that its projector builds it anew from the beginning of the log. Readers see it fill up.
 */
export const rebuildFromZero = async (log: Log, { name, version, sink }: Projection): Promise<void> => {
  await sink.prepare(await log.identity())
  await sink.reset(async (transaction) => {
    await forgetParked(transaction, name)
    await removePutBack(transaction, name)
    await transaction.query(
      `insert into platform.projections (name, version) values ($1, $2)
       on conflict (name) do update set version = excluded.version, built_at = now()`,
      [name, version],
    )
  })
}
