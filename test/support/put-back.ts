import type { Database } from '../../platform/database.ts'

/**
 * Puts log and checkpoints back to where they stood at a position, under whoever is connected, as a promoted standby
 * that lagged behind or a restored backup does.
 */
export const putBack = (database: Database, position: bigint): Promise<void> =>
  database.transaction(async (transaction) => {
    await transaction.query('alter table log.events disable trigger append_only')
    await transaction.query('delete from log.events where position > $1', [position])
    await transaction.query('alter table log.events enable always trigger append_only')
    await transaction.query('update platform.checkpoints set position = least(position, $1)', [position])
  })
