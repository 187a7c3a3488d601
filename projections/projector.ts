import type { Database } from '../platform/database.ts'
import { isTransient } from '../platform/database.ts'
import type { EventFeed, FeedBatch, FeedEvent } from '../platform/event-feed.ts'
import { LogWentBack } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { UndecodableEvent } from '../schemas/codec.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { admit, builtVersion, checkedCheckpoint, type Log } from './admission.ts'
import { createApplier, ProjectionStopped } from './applier.ts'
import { missesLateEvents } from './parking.ts'
import type { Projection } from './projection.ts'
import { createProjectorStatus } from './projector-status.ts'
import { rebuildFromZero } from './rebuild.ts'
import { createRelevance } from './relevance.ts'
import { untilLost } from './sink-watch.ts'
import { defaultErrorPolicy, type ErrorPolicy } from './verdict.ts'

/**
 * What a projector is doing. `standby`: another process has the projection. `live`: it has reached the head and has not
 * fallen far behind since. `waiting`: an engine is away or newer code is needed, see `error`. `stopped`: it will not go
 * on by itself, see `error`.
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
  /** Runs until the signal aborts or the projection has to stop, which its status then explains. Never rejects. */
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
  /** Rebuild from the beginning, instead of stopping, when another version of the code built the read model. */
  readonly rebuildWhenStale?: boolean
  /** How often is looked whether an engine that can lose data still has it, milliseconds. */
  readonly watchMs?: number
  /** Told every new checkpoint, once committed, for who waits for it in this process. */
  readonly onCheckpoint?: (projection: string, partition: number, position: bigint) => void
}

/**
 * The loop of one projection: admitted -> consuming -> fenced | broken off -> admitted again, until it is aborted or
 * stopped. The feed reads the next batch while this one is written.
 */
export const createProjector = (deps: ProjectorDependencies): Projector => {
  const { projection, feed, log, database, logger, batchSize = 2_000, watchMs = 2_000 } = deps
  const { name, sink } = projection
  const policy = { ...defaultErrorPolicy, ...deps.policy }
  const status = createProjectorStatus(deps)
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
    onWait: (reason) => {
      status.waiting(reason)
      // The lag grows meanwhile, and should be seen to.
      if (reason !== undefined) log.head().then(status.ends, () => undefined)
    },
  })
  const isRelevant = createRelevance(projection.types)

  const enter = async (): Promise<void> => {
    if (deps.rebuildWhenStale) {
      const built = await builtVersion(database, name)
      if (built !== undefined && built !== projection.version) {
        logger.warn({ projection: name, built, code: projection.version }, 'the read model is stale and is rebuilt')
        await rebuildFromZero(log, projection)
      }
    }
    await admit(database, log, projection)
    if (sink.skipped && (await missesLateEvents(database, name, sink.skipped))) {
      logger.warn({ projection: name }, 'the read model was put back to an older state and is rebuilt')
      await rebuildFromZero(log, projection)
    }
    await applier.load()
  }

  const checkpoint = async (partition: number): Promise<bigint> => {
    const position = await checkedCheckpoint(log, projection, partition)
    positions.set(partition, position)
    status.assigned(partition, position, await log.head())
    // Another worker may have parked events of this partition meanwhile.
    await applier.load()
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
    if (applier.parkedEvents() > 0) await applier.load()
    const events = batch.events.filter((event) => isRelevant(event.stored) && event.stored.position > from)
    const outcome = await applier.apply(batch.partition, from, { events, to: batch.position }, signal)
    if (outcome !== 'applied') return outcome
    status.applied(batch, events.length, applier.parkedEvents())
    return outcome
  }

  const ahead = (events: readonly FeedEvent[]): void => {
    if (!projection.anticipate) return
    const recorded: RecordedEvent[] = []
    for (const event of events) {
      if (!isRelevant(event.stored)) continue
      try {
        recorded.push(event.recorded())
      } catch (error) {
        // It is no time to judge it yet: it will be thrown again when the event is applied.
        if (!(error instanceof UndecodableEvent)) throw error
      }
    }
    projection.anticipate(recorded)
  }

  const consume = async (signal: AbortSignal): Promise<void> => {
    await enter()
    status.standby()
    positions.clear()
    const ended = new AbortController()
    const mine = AbortSignal.any([signal, ended.signal])
    const watched = untilLost({ sink, positions, everyMs: watchMs, logger }, mine).then((lost) => {
      if (!lost) return
      logger.warn({ projection: name }, 'the engine has lost what this projection wrote; it is entered anew')
      ended.abort()
    })
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
      await watched
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
          if (error instanceof ProjectionStopped || error instanceof LogWentBack) return status.stopped(error.message)
          if (!isTransient(error)) logger.error({ err: error, projection: name }, 'the projection broke off')
          status.waiting(error instanceof Error ? error.message : String(error))
        }
        failures = status.current().position > before ? 0 : failures + 1
        await pause(policy.waitMs(failures), signal)
      }
    },
  }
}
