import type { Database } from '../platform/database.ts'
import { removePutBack } from '../platform/put-back-records.ts'
import { consumer } from './checkpoint.ts'

const lockCheckpoints = 'select 1 from platform.checkpoints where consumer = $1 order by partition for update'

/**
 * Lets the saga read the log anew from its beginning, after an older log was put back. Its memory is derived: rows and
 * timers come again with the events. What the log says was done is not done again, as the fulfilments' own streams are in
 * it; what it does not say any more is decided anew, under the command ids and gateway keys of before.
 *
 * The checkpoints stay, at 0 of another generation: a saga that still runs from before finds no checkpoint to move.
 */
export const forgetSaga = (database: Database, logIdentity: string): Promise<void> =>
  database.transaction(async (transaction) => {
    await transaction.query(lockCheckpoints, [consumer])
    await transaction.query('delete from saga.timers')
    await transaction.query('delete from saga.instances')
    await transaction.query(
      `update platform.checkpoints set position = 0, log_identity = $2, generation = generation + 1, updated_at = now()
       where consumer = $1`,
      [consumer, logIdentity],
    )
    await removePutBack(transaction, consumer)
  })
