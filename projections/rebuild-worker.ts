import type { Database } from '../platform/database.ts'
import { isTransient } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { Projection } from './projection.ts'
import { BuildFenced, isExhausted, openBuilder } from './rebuild-builder.ts'
import type { Worker } from './rebuild-phases.ts'
import { type RebuildRecords, RebuildStopped, type StoredRebuild } from './rebuild-records.ts'
import type { ErrorPolicy } from './verdict.ts'

/** How often progress is written down, milliseconds. */
const saveEveryMs = 500

/** What stands in the record of a rebuild that waits or has failed: a refusal with what it is about. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const detail = error instanceof CommandRejected ? error.details.detail : undefined
  return typeof detail === 'string' ? `${error.message} ${detail}` : error.message
}

export interface RebuildWorker extends Worker {
  /** From now on it waits for nothing: where it would have to, it is over. */
  readonly hurry: () => void
  /** What it waits for, or could not wait for. */
  readonly waitsFor: () => string | undefined
}

/** Opens the generations that are built, each with what becomes of its rebuild. */
export const createRebuildWorkers = (deps: {
  readonly projections: ReadonlyMap<string, Projection>
  readonly store: Pick<EventStore, 'head' | 'identity'>
  readonly records: RebuildRecords
  readonly database: Database
  /** Of the feed. */
  readonly partitions: readonly number[]
  readonly policy: ErrorPolicy
  readonly logger: Logger
  readonly metrics: Metrics
}) => {
  const { projections, policy, store, records, database, partitions, logger, metrics } = deps

  /** What is nobody's fault is waited for; anything else ends the rebuild until somebody resumes it. */
  const giveUp = async (rebuild: StoredRebuild, error: unknown): Promise<void> => {
    const waits = (isTransient(error) && !isExhausted(error)) || error instanceof BuildFenced
    if (waits || error instanceof RebuildStopped) throw error
    const { projection, generation, phase } = rebuild
    logger.error({ err: error, projection, generation, phase }, 'a rebuild has failed')
    metrics.rebuilds.inc({ projection, outcome: 'failed' })
    await records.fail(rebuild, reasonOf(error))
  }

  const openWorker = async (rebuild: StoredRebuild): Promise<RebuildWorker> => {
    const projection = projections.get(rebuild.projection)
    if (!projection) throw new Error(`this version has no projection ${rebuild.projection}`)
    const ahead = (await records.putBack()).get(`${rebuild.projection}@${rebuild.generation}`)
    if (ahead !== undefined) {
      await projection.generations?.drop(rebuild.generation)
      await records.beginsAnew(rebuild, await store.head())
      throw new BuildFenced(`${rebuild.projection} begins anew: ${ahead}`)
    }
    let reason: string | undefined
    let hurried = false
    const over = new AbortController()
    const builder = await openBuilder({
      projection,
      generation: rebuild.generation,
      lanes: rebuild.phase === 'loading' ? rebuild.lanes : partitions,
      logIdentity: await store.identity(),
      database,
      policy,
      logger,
      onWait: (why) => {
        reason = why
        if (why === undefined) return
        if (hurried) over.abort()
        // It may be for ever, so that whoever cancels it must not have to wait as well.
        void records.progress(rebuild, { error: why }).then(
          (goesOn) => goesOn || over.abort(),
          () => undefined,
        )
      },
    })
    const begunAt = performance.now()
    let savedAt = begunAt
    let counted = 0
    const save = (): Promise<boolean> => {
      const seconds = (performance.now() - begunAt) / 1_000
      const handled = builder.handled()
      metrics.rebuildEvents.inc({ projection: rebuild.projection }, handled - counted)
      counted = handled
      return records.progress(rebuild, {
        eventsDone: rebuild.eventsDone + BigInt(handled),
        position: builder.position(),
        // What is caught up with comes at the pace of those who append it.
        ...(rebuild.phase === 'loading' && handled > 0 && seconds > 0 ? { eventsPerSecond: handled / seconds } : {}),
        ...(reason === undefined ? {} : { error: reason }),
      })
    }
    return {
      builder,
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
  const openWorkers = async (
    rebuilds: readonly StoredRebuild[],
  ): Promise<ReadonlyMap<RebuildWorker, StoredRebuild>> => {
    const workers = new Map<RebuildWorker, StoredRebuild>()
    for (const rebuild of rebuilds)
      try {
        workers.set(await openWorker(rebuild), rebuild)
      } catch (error) {
        await giveUp(rebuild, error)
      }
    return workers
  }

  return { openWorker, openWorkers, giveUp }
}
