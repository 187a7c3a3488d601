import type { Database } from '../platform/database.ts'
import { isTransient } from '../platform/database.ts'
import type { EventFeed, FeedBatch } from '../platform/event-feed.ts'
import { LogWentBack } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { createRelevance } from '../platform/relevance.ts'
import { admit, checkedCheckpoint, type Log } from './admission.ts'
import { anticipates } from './anticipate.ts'
import { createApplier, ProjectionStopped } from './applier.ts'
import { createGoingOn } from './going-on.ts'
import { missesLateEvents } from './parking.ts'
import type { Projection } from './projection.ts'
import { createProjectorStatus } from './projector-status.ts'
import { rebuildFromZero } from './rebuild-from-zero.ts'
import { untilLost } from './sink-watch.ts'
import { defaultErrorPolicy, type ErrorPolicy } from './verdict.ts'

/**
 * What a projector is doing. `standby`: another process has the projection. `live`: it has reached the head and has not
 * fallen far behind since. `waiting`: an engine is away or newer code is needed, see `error`. `stopped`: an operator has
 * to do something, see `error`; it looks from time to time whether that is done.
 */
export interface ProjectorStatus {
  readonly name: string
  readonly version: number
  readonly state: 'standby' | 'catching-up' | 'live' | 'waiting' | 'stopped'
  readonly position: bigint
  readonly head: bigint
  /** Positions between checkpoint and head. */
  readonly lagEvents: bigint
  readonly parkedEvents: number
  readonly error?: string
}

export interface Projector {
  /** Runs until the signal aborts, or the log is found to be another one than it was. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  status(): ProjectorStatus
}

export interface ProjectorDependencies {
  readonly projection: Projection
  readonly feed: EventFeed
  readonly log: Log
  readonly database: Database
  readonly logger: Logger
  readonly metrics: Metrics
  readonly policy?: Partial<ErrorPolicy>
  /** Events per batch at most. */
  readonly batchSize?: number
  /** Why it must not go on, as its read model is ahead of a log that was put back; see `LogGuard`. */
  readonly ahead?: (projection: string) => Promise<string | undefined>
  /** How often a projection that has stopped looks whether it can go on, milliseconds. */
  readonly lookAgainMs?: number
  /** How often is looked whether what was written is still there, milliseconds. */
  readonly watchMs?: number
  /** Told every new checkpoint, once committed, for who waits for it in this process. */
  readonly onCheckpoint?: (projection: string, partition: number, position: bigint) => void
}

/**
 * The loop of one projection: admitted -> consuming -> fenced | broken off -> admitted again, until it is aborted or
 * stopped. The feed reads the next batch while this one is written.
 */
export const createProjector = (deps: ProjectorDependencies): Projector => {
  const { projection, feed, log, database, logger, batchSize = 2_000, watchMs = 2_000, lookAgainMs = 2_000 } = deps
  const { name, sink } = projection
  const policy = { ...defaultErrorPolicy, ...deps.policy }
  const status = createProjectorStatus(deps)
  const { mayGoOn, keepCounting } = createGoingOn({ projection, database, log, logger, policy, status })
  const positions = new Map<number, bigint>()
  const applier = createApplier({
    projection,
    database,
    policy,
    logger,
    onStep: (partition, position) => {
      positions.set(partition, position)
      status.stepped(partition, position)
      deps.onCheckpoint?.(name, partition, position)
    },
    yields: true,
    onWait: (reason, cause) => {
      status.waiting(reason, cause)
      // The lag grows meanwhile, and should be seen to.
      if (reason !== undefined) log.head().then(status.ends, () => undefined)
    },
  })
  const isRelevant = createRelevance(projection.types)

  const load = async (): Promise<void> => {
    await applier.load()
    status.parked(applier.parkedEvents(), applier.gaps())
  }

  const enter = async (): Promise<void> => {
    const ahead = await deps.ahead?.(name)
    if (ahead !== undefined) throw new ProjectionStopped(`${name} is ahead of the log: ${ahead}; rebuild it`)
    await admit(database, log, projection)
    if (sink.skipped && (await missesLateEvents(database, name, sink.skipped))) {
      logger.warn({ projection: name }, 'the read model was put back to an older state and is rebuilt')
      await rebuildFromZero(log, projection)
    }
    await load()
  }

  const checkpoint = async (partition: number): Promise<bigint> => {
    const position = await checkedCheckpoint(log, projection, partition)
    positions.set(partition, position)
    status.assigned(partition, position, await log.head())
    // Another worker may have parked events of this partition meanwhile.
    await load()
    return position
  }

  const onAssigned = (partitions: readonly number[]): void => {
    for (const partition of positions.keys()) if (!partitions.includes(partition)) positions.delete(partition)
    status.owns(partitions)
  }

  const handle = async (batch: FeedBatch, signal: AbortSignal): Promise<'applied' | 'fenced' | 'aborted'> => {
    const from = positions.get(batch.partition)
    if (from === undefined) return 'fenced'
    // Delivered again, or only the head has moved: a checkpoint never goes back.
    if (batch.position <= from) {
      status.ends(batch.head)
      return 'applied'
    }
    // Whoever retries parked events does so behind the projector's back.
    if (applier.parkedEvents() > 0) await load()
    const events = batch.events.filter((event) => isRelevant(event.stored) && event.stored.position > from)
    const outcome = await applier.apply(batch.partition, from, { events, to: batch.position }, signal)
    if (outcome !== 'applied') return outcome
    status.applied(batch, events.length)
    status.parked(applier.parkedEvents(), applier.gaps())
    return outcome
  }

  const ahead = anticipates(projection, isRelevant)

  const consume = async (signal: AbortSignal): Promise<void> => {
    await enter()
    status.standby()
    positions.clear()
    const ended = new AbortController()
    const mine = AbortSignal.any([signal, ended.signal])
    const watched = untilLost({ projection, database, positions, everyMs: watchMs, logger }, mine).then((lost) => {
      if (!lost) return
      logger.warn(
        { projection: name },
        'the engine has lost what this projection wrote, or serves another generation; it is entered anew',
      )
      ended.abort()
    })
    const counting = keepCounting(mine)
    try {
      // No filter by type: a newer version of an event has a name that no filter can list, and must not be missed.
      for await (const batch of feed.consume(name, { checkpoint, onAssigned, batchSize, ahead, signal: mine })) {
        const outcome = await handle(batch, mine)
        if (outcome === 'applied') continue
        if (outcome === 'fenced') logger.warn({ projection: name }, 'fenced: the checkpoint is not where it was left')
        return
      }
    } finally {
      ended.abort()
      await Promise.all([watched, counting])
    }
  }

  return {
    status: status.current,
    run: async (signal) => {
      for (let failures = 0; !signal.aborted; ) {
        const before = status.current().position
        try {
          await consume(signal)
        } catch (error) {
          if (error instanceof LogWentBack) return status.stopped(error.message)
          if (await mayGoOn(error, signal)) continue
          if (error instanceof ProjectionStopped) {
            status.stopped(error.message)
            // Another generation may be swapped in that it can go on with.
            await pause(lookAgainMs, signal)
            continue
          }
          if (!isTransient(error)) logger.error({ err: error, projection: name }, 'the projection broke off')
          status.waiting(
            error instanceof Error ? error.message : String(error),
            isTransient(error) ? 'engine-away' : 'failure',
          )
        }
        failures = status.current().position > before ? 0 : failures + 1
        await pause(policy.waitMs(failures), signal)
      }
    },
  }
}
