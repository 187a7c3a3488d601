import type { StoredCheckpoint } from './checkpointed-store.ts'
import type { Queryable, Statement, Transaction } from './database.ts'

/** A step of a consumer's checkpoint in one partition of the log. */
export interface CheckpointMove {
  readonly consumer: string
  readonly partition: number
  /** Where it must stand; one that is not there stands at 0n. */
  readonly from: bigint
  readonly to: bigint
}

/** Which log and which generation of a read model a checkpoint speaks of. */
export interface CheckpointOf {
  readonly logIdentity: string
  readonly generation: number
}

/**
 * The compare-and-set on a checkpoint as the head of a `with`: `fence` has one row when the checkpoint stood at $3 and
 * now stands at $4, and none otherwise. What follows makes its effect depend on `exists (select from fence)`; a second
 * writer waits for the row lock, sees the moved checkpoint and does nothing.
 *
 * The commit need not wait for the disk: what a crash of the server loses is effect and checkpoint together, and the
 * events are still in the log. Who wrote it finds its checkpoint behind, and goes on from there.
 *
 * The generation is part of it: a writer that still believes in the one that was live before must be fenced even when
 * the new one stands at the very same position, or it would write an old version's rows among the new ones.
 *
 * Who was found ahead of a log that was put back is fenced for good, until it is rebuilt.
 *
 * $1 consumer, $2 partition, $3 from, $4 to, $5 identity of the log, $6 generation
 */
export const fenceHead = `with moved as (
  update platform.checkpoints set position = $4::bigint, updated_at = clock_timestamp()
  where consumer = $1::text and partition = $2::integer and position = $3::bigint
    and generation = $6::integer and not exists (select from platform.put_back where consumer = $1::text)
  returning set_config('synchronous_commit', 'off', true)
), begun as (
  insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
  select $1::text, $2::integer, $4::bigint, $5::uuid, $6::integer where $3::bigint = 0 and not exists (select from moved)
    and not exists (select from platform.put_back where consumer = $1::text)
  on conflict do nothing
  returning 1
), fence as (
  select from moved union all select from begun
)`

/** The parameters $1 to $6 of `fenceHead`. */
export const fenceValues = (move: CheckpointMove, of: CheckpointOf): unknown[] => [
  move.consumer,
  move.partition,
  move.from,
  move.to,
  of.logIdentity,
  of.generation,
]

const moveStatement: Statement = { name: 'checkpoint_move', text: `${fenceHead} select from fence` }
const readStatement: Statement = {
  name: 'checkpoint_read',
  text: `select position, log_identity as "logIdentity" from platform.checkpoints where consumer = $1 and partition = $2`,
}

/** Moves a checkpoint; in a transaction it stays locked until the end. False when it did not stand at `from`. */
export const moveCheckpoint = async (
  transaction: Transaction,
  move: CheckpointMove,
  of: CheckpointOf,
): Promise<boolean> => (await transaction.execute(moveStatement, fenceValues(move, of))).length > 0

/** Where a consumer stands in a partition; 0n of the given log when it has never been there. */
export const readCheckpoint = async (
  database: Transaction,
  consumer: string,
  partition: number,
  logIdentity: string,
): Promise<StoredCheckpoint> => {
  const [row] = await database.execute<StoredCheckpoint>(readStatement, [consumer, partition])
  return row ?? { position: 0n, logIdentity }
}

/** Keeps every other writer of this partition out until the transaction ends. */
export const lockCheckpoint = async (transaction: Queryable, consumer: string, partition: number): Promise<void> => {
  const lock = () =>
    transaction.query('select 1 from platform.checkpoints where consumer = $1 and partition = $2 for update', [
      consumer,
      partition,
    ])
  // When generations are swapped while it waits, the checkpoint that it has waited for is another one's afterwards.
  if ((await lock()).length === 0) await lock()
}

/** Forgets where a consumer stood: it stands at 0 of the present log, and whoever still writes from there is fenced. */
export const dropCheckpoints = async (transaction: Queryable, consumer: string): Promise<void> => {
  await transaction.query('delete from platform.checkpoints where consumer = $1', [consumer])
}
