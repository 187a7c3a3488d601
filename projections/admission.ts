import type { StoredCheckpoint } from '../platform/checkpointed-store.ts'
import type { Database, Queryable } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import { isSealed } from '../platform/partitioning.ts'
import { removePutBack } from '../platform/put-back-records.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { ProjectionStopped } from './applier.ts'
import { forgetParked } from './parking.ts'
import { checkpointInPartition } from './partition-handover.ts'
import type { Projection } from './projection.ts'

export type Log = Pick<EventStore, 'head' | 'identity'>

/** The version of the code that built a read model; undefined when nothing was built yet. */
export const builtVersion = async (database: Queryable, name: string): Promise<number | undefined> => {
  const [row] = await database.query<{ version: number }>('select version from platform.projections where name = $1', [
    name,
  ])
  return row?.version
}

/**
 * Says nothing when there is no read model, or when this version of the code has built the one that is live. To be asked
 * after its sink was prepared: the generation that this was for is then of this version, or is fenced.
 *
 * @throws ProjectionStopped
 */
const refuseOthers = async (database: Database, { name, version }: Projection): Promise<number | undefined> => {
  const built = await builtVersion(database, name)
  if (built !== undefined && built !== version)
    throw new ProjectionStopped(`${name} is stale: built by version ${built}, code is ${version}; rebuild it`)
  return built
}

/**
 * Prepares to write to the live generation from outside the projection.
 *
 * @throws CommandRejected `other-version`; EngineUnavailable
 */
export const prepareLive = async (
  database: Database,
  log: Pick<Log, 'identity'>,
  { name, version, sink }: Projection,
): Promise<void> => {
  await sink.prepare(await log.identity())
  const built = await builtVersion(database, name)
  if (built !== undefined && built !== version)
    throw new CommandRejected('other-version', { projection: name, built, code: version })
}

/**
 * Lets a projection run only on a read model that its own version has built; builds an empty one when there is none.
 *
 * @throws ProjectionStopped when another version has built it: two versions never mix
 */
export const admit = async (database: Database, log: Log, projection: Projection): Promise<void> => {
  const { name, version, sink } = projection
  await refuseOthers(database, projection)
  await sink.prepare(await log.identity(), {
    head: await log.head(),
    record: async (transaction) => {
      // What is parked comes again with the rest of the log.
      await forgetParked(transaction, name)
      await removePutBack(transaction, name)
    },
  })
  if ((await refuseOthers(database, projection)) !== undefined) return
  await database.query('insert into platform.projections (name, version) values ($1, $2) on conflict do nothing', [
    name,
    version,
  ])
  return admit(database, log, projection)
}

/**
 * The checkpoint to go on from.
 *
 * @throws ProjectionStopped when it was made in another log, or in a later state of this one: a restored backup
 */
export const checkedCheckpoint = async (log: Log, { name, sink }: Projection, partition: number): Promise<bigint> => {
  const identity = await log.identity()
  const check = async ({ position, logIdentity }: StoredCheckpoint): Promise<void> => {
    // Read after the checkpoint, or events that came in between would make the checkpoint look ahead.
    const head = await log.head()
    if (logIdentity !== identity)
      throw new ProjectionStopped(
        `${name} was built from another log: its checkpoint is of log ${logIdentity}, this is ${identity}; rebuild it`,
      )
    if (isSealed(position))
      throw new ProjectionStopped(
        `${name} stands in partitions since Kafka has carried the log, and this process consumes the log as a whole`,
      )
    if (position > head)
      throw new ProjectionStopped(
        `${name} is ahead of the log: its checkpoint is ${position}, the log ends at ${head}; the log was put back, rebuild it`,
      )
  }
  const found = partition === 0 ? await sink.checkpoint(0) : await checkpointInPartition(sink, partition, check)
  await check(found)
  return found.position
}
