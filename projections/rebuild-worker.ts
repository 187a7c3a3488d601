import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { createRelevance } from '../platform/relevance.ts'
import type { Pace } from './pace.ts'
import type { Projection } from './projection.ts'
import { type Builder, openBuilder } from './rebuild-builder.ts'
import { failureOf } from './rebuild-failure.ts'
import type { Worker } from './rebuild-phases.ts'
import type { RebuildRecords, StoredRebuild } from './rebuild-records.ts'
import type { ErrorPolicy } from './verdict.ts'
import { BuildFenced } from './window-sink.ts'

/** How often progress is written down, milliseconds. */
const saveEveryMs = 500

/** How far a build is. */
export interface Progress {
  readonly position: bigint
  /** Events that it has handled since it was opened. */
  readonly handled: number
}

export interface RebuildWorker extends Worker {
  readonly rebuild: StoredRebuild
  /** From now on it waits for nothing: where it would have to, it is over. */
  readonly hurry: () => void
  /** What it waits for, or could not wait for. */
  readonly waitsFor: () => string | undefined
  /** Told the reason when it begins to wait, and undefined when it goes on. */
  readonly waits: (reason: string | undefined) => void
  /** It is others who build it, and this is how far they are. */
  readonly reached: (progress: Progress) => void
  /** Up to here its batches are written one by one; see `BuildFailure`. */
  readonly carefulUpTo: () => bigint
  /** Streams that have parked events in what is built. */
  readonly parkedStreams: ReadonlySet<string>
}

/** Opens the generations that are built, each with what becomes of its rebuild. */
export const createRebuildWorkers = (deps: {
  readonly projections: ReadonlyMap<string, Projection>
  readonly store: Pick<EventStore, 'head' | 'identity' | 'countTypes' | 'readStream'>
  readonly pace: Pick<Pace, 'windowEvents'>
  readonly records: RebuildRecords
  readonly database: Database
  /** Of the feed. */
  readonly partitions: readonly number[]
  readonly policy: ErrorPolicy
  readonly logger: Logger
  readonly metrics: Metrics
}) => {
  const { projections, policy, store, pace, records, database, partitions, logger, metrics } = deps
  const carefulUpTo = new Map<string, bigint>()
  const nameOf = ({ projection, generation }: StoredRebuild): string => `${projection}@${generation}`

  /** What is nobody's fault is waited for; anything else ends the rebuild until somebody resumes it. */
  const giveUp = async (rebuild: StoredRebuild, error: unknown): Promise<void> => {
    const failure = failureOf(error)
    if (failure.carefulUpTo !== undefined) carefulUpTo.set(nameOf(rebuild), failure.carefulUpTo)
    if (failure.waits) throw error
    const { projection, generation, phase } = rebuild
    logger.error({ err: error, projection, generation, phase }, 'a rebuild has failed')
    metrics.rebuilds.inc({ projection, outcome: 'failed' })
    await records.fail(rebuild, failure.reason)
  }

  /** How many events of the log a projection handles. */
  const countUpTo = async ({ types }: Projection, position: bigint): Promise<bigint> => {
    if (position === 0n) return 0n
    const relevance = createRelevance(types)
    return [...(await store.countTypes(position))].reduce(
      (all, [type, events]) => (relevance.byName(type) ? all + events : all),
      0n,
    )
  }

  const openWorker = async (rebuild: StoredRebuild): Promise<RebuildWorker> => {
    const projection = projections.get(rebuild.projection)
    if (!projection) throw new Error(`this version has no projection ${rebuild.projection}`)
    const ahead = (await records.putBack()).get(nameOf(rebuild))
    if (ahead !== undefined) {
      await projection.generations?.drop(rebuild.generation)
      await records.beginsAnew(rebuild, await store.head())
      throw new BuildFenced(`${rebuild.projection} begins anew: ${ahead}`)
    }
    let reason: string | undefined
    let hurried = false
    const over = new AbortController()
    const careful = (): bigint => carefulUpTo.get(nameOf(rebuild)) ?? 0n
    const waits = (why: string | undefined): void => {
      reason = why
      if (why === undefined) return
      if (hurried) over.abort()
      // It may be for ever, so that whoever cancels it must not have to wait as well.
      void records.progress(rebuild, { error: why }).then(
        (goesOn) => goesOn || over.abort(),
        () => undefined,
      )
    }
    const parkedStreams = new Set<string>()
    const builder: Builder = await openBuilder({
      projection,
      parkedStreams,
      generation: rebuild.generation,
      windowEvents: () => (builder.position() < careful() ? 0 : pace.windowEvents()),
      lanes: rebuild.phase === 'loading' ? rebuild.lanes : partitions,
      store,
      logIdentity: await store.identity(),
      database,
      policy,
      logger,
      onWait: waits,
    })
    let progress = (): Progress => ({ position: builder.position(), handled: builder.handled() })
    // What was told of it may be more: it was not all written when somebody died.
    const done = rebuild.phase === 'loading' ? await countUpTo(projection, builder.position()) : rebuild.eventsDone
    /** What is caught up with comes at the pace of those who append it; of the end of a load most of the time is its start. */
    const tellsRate = (handled: number): boolean =>
      rebuild.phase === 'loading' && handled > 0 && (rebuild.eventsPerSecond === null || BigInt(handled) >= done)
    const begunAt = performance.now()
    let savedAt = begunAt
    let counted = 0
    const save = (): Promise<boolean> => {
      const seconds = (performance.now() - begunAt) / 1_000
      const { position, handled } = progress()
      metrics.rebuildEvents.inc({ projection: rebuild.projection }, handled - counted)
      counted = handled
      return records.progress(rebuild, {
        eventsDone: done + BigInt(handled),
        position,
        ...(tellsRate(handled) && seconds > 0 ? { eventsPerSecond: handled / seconds } : {}),
        ...(reason === undefined ? {} : { error: reason }),
      })
    }
    return {
      rebuild,
      builder,
      waits,
      carefulUpTo: careful,
      parkedStreams,
      reached: (told) => {
        progress = () => told
      },
      over: over.signal,
      hurry: () => {
        hurried = true
      },
      waitsFor: () => reason,
      progressed: async () => {
        if (performance.now() - savedAt < saveEveryMs) return true
        savedAt = performance.now()
        return save()
      },
      saved: save,
      failed: (error) => giveUp(rebuild, error),
    }
  }

  /** Opens those that can be opened. */
  const openWorkers = async (rebuilds: readonly StoredRebuild[]): Promise<readonly RebuildWorker[]> => {
    const workers: RebuildWorker[] = []
    for (const rebuild of rebuilds)
      try {
        workers.push(await openWorker(rebuild))
      } catch (error) {
        await giveUp(rebuild, error)
      }
    return workers
  }

  return { openWorker, openWorkers, giveUp, countUpTo }
}
