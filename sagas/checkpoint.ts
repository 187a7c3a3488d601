import type { Database, Statement } from '../platform/database.ts'
import { StartupError } from '../platform/failures.ts'

export const consumer = 'order-fulfilment'

/** How far every event of the feed has been acted upon, per partition. Engine failures throw. */
export interface Checkpoints {
  /**
   * Where to go on; in a partition that was never gone into, from where the saga stood in the log as a whole.
   *
   * @throws StartupError when the checkpoint belongs to another log or is ahead of this one: commands would be issued a
   * second time, or never
   */
  read(partition: number): Promise<bigint>
  /**
   * Moves the checkpoint forwards, never back: of two workers that both believe they own the partition, what the one
   * further ahead has done is done.
   */
  save(partition: number, position: bigint): Promise<void>
}

const readStatement: Statement = {
  name: 'saga_checkpoint_read',
  text: `select position, log_identity as "logIdentity", generation from platform.checkpoints
    where consumer = $1 and partition in ($2, 0) order by partition desc limit 1`,
}
const saveStatement: Statement = {
  name: 'saga_checkpoint_save',
  text: `insert into platform.checkpoints as c (consumer, partition, position, log_identity, generation)
    select $1, $2, $3, $4, $5 where not exists (select from platform.put_back where consumer = $1)
    on conflict (consumer, partition) do update set position = excluded.position, updated_at = now()
    where c.position < excluded.position and c.log_identity = excluded.log_identity
      and c.generation = excluded.generation
    returning set_config('synchronous_commit', 'off', true)`,
}

export const createCheckpoints = (deps: {
  readonly database: Database
  readonly log: { identity(): Promise<string>; head(): Promise<bigint> }
  /** Why it must not go on, as it is ahead of a log that was put back; see `LogGuard`. */
  readonly ahead?: ((consumer: string) => Promise<string | undefined>) | undefined
}): Checkpoints => {
  const generations = new Map<number, number>()
  let identity: string | undefined
  const identityOfLog = async (): Promise<string> => {
    identity ??= await deps.log.identity()
    return identity
  }
  return {
    read: async (partition) => {
      const ahead = await deps.ahead?.(consumer)
      if (ahead !== undefined)
        throw new StartupError(`The saga is ahead of the log: ${ahead}; it issues no command until it is reset.`)
      const [row] = await deps.database.execute<{ position: bigint; logIdentity: string; generation: number }>(
        readStatement,
        [consumer, partition],
      )
      generations.set(partition, row?.generation ?? 1)
      if (!row) return 0n
      const [log, head] = [await identityOfLog(), await deps.log.head()]
      if (row.logIdentity !== log)
        throw new StartupError(
          `The saga's checkpoint belongs to log ${row.logIdentity}, but this is log ${log}: it will not issue commands for orders that it may have handled already.`,
        )
      if (row.position > head)
        throw new StartupError(
          `The saga's checkpoint is at position ${row.position}, but the log ends at ${head}: an older log was restored, and the saga will not issue commands again that it has issued before.`,
        )
      return row.position
    },
    save: async (partition, position) => {
      await deps.database.execute(saveStatement, [
        ...[consumer, partition, position, await identityOfLog(), generations.get(partition) ?? 1],
      ])
    },
  }
}
