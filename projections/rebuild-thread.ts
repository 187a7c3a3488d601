import type { MessagePort } from 'node:worker_threads'
import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { type StreamShare, shareOf } from '../platform/stream-share.ts'
import type { ParkedStreams } from './applier.ts'
import { createPace, type PaceKnowledge } from './pace.ts'
import type { Projection } from './projection.ts'
import { openBuilder } from './rebuild-builder.ts'
import { type BuildFailure, failureOf } from './rebuild-failure.ts'
import { takeTo, type Worker } from './rebuild-phases.ts'
import { defaultErrorPolicy } from './verdict.ts'

/** What a thread is to load. */
export interface LoadOrder {
  readonly share: StreamShare
  /** To this position of the log, of these stored names. */
  readonly position: bigint
  readonly types: readonly string[]
  /** What was seen before by whoever orders it. */
  readonly pace: PaceKnowledge | undefined
  readonly maxAttempts: number
  readonly maxParkedStreams: number
  readonly builds: readonly {
    readonly projection: string
    readonly generation: number
    readonly lanes: number
    readonly carefulUpTo: bigint
    /** How many streams have parked events, of each share: memory that all threads see. */
    readonly parkedStreams: Int32Array
  }[]
}

/** What a thread is told. */
export type LoadCommand =
  | { readonly do: 'stop' }
  /** This projection is not to be gone on with. */
  | { readonly do: 'leave'; readonly projection: string }

/** What a thread tells. */
export type LoadReport =
  | { readonly is: 'progress'; readonly projection: string; readonly position: bigint; readonly handled: number }
  | { readonly is: 'waiting'; readonly projection: string; readonly reason: string | undefined }
  | { readonly is: 'failed'; readonly projection: string; readonly failure: BuildFailure }
  /** All of them. */
  | { readonly is: 'broken'; readonly failure: BuildFailure }
  /** These have come to the position. The last that is told. */
  | { readonly is: 'over'; readonly projections: readonly string[] }

/** The streams of a share that have parked events, counted together with those of the others. */
const countedTogether = (counts: Int32Array, { index, of }: StreamShare): ParkedStreams => {
  const ours = new Set<string>()
  const tell = (): void => {
    Atomics.store(counts, index, ours.size)
  }
  return {
    add(stream) {
      // Everybody learns what is parked in all of them.
      if (shareOf(stream, of) === index) ours.add(stream)
      tell()
      return ours
    },
    delete: (stream) => {
      const was = ours.delete(stream)
      tell()
      return was
    },
    get size() {
      return counts.reduce((sum, _, slot) => sum + Atomics.load(counts, slot), 0)
    },
  }
}

/** What a thread is told, from the moment it was started. */
export interface LoadCommands {
  readonly stopping: AbortSignal
  /** Aborts when a projection is not to be gone on with. */
  leaving(projection: string): AbortSignal
  /** Nothing more is listened to: the thread may end. */
  close(): void
}

export const listenTo = (port: MessagePort, { builds }: LoadOrder): LoadCommands => {
  const stopping = new AbortController()
  const leaving = new Map(builds.map(({ projection }) => [projection, new AbortController()]))
  const obey = (command: LoadCommand): void =>
    command.do === 'stop' ? stopping.abort() : leaving.get(command.projection)?.abort()
  port.on('message', obey)
  return {
    stopping: stopping.signal,
    leaving: (projection) => leaving.get(projection)?.signal ?? stopping.signal,
    close: () => port.off('message', obey),
  }
}

/** Loads a share of the streams into generations that whoever ordered it has opened before. Tells how it ends; never throws. */
export const loadShare = async (deps: {
  readonly order: LoadOrder
  readonly commands: LoadCommands
  readonly tell: (report: LoadReport) => void
  readonly projections: readonly Projection[]
  readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'identity'>
  readonly database: Database
  readonly logger: Logger
}): Promise<void> => {
  const { order, commands, tell, projections, store, database, logger } = deps
  const { share, position, types, maxAttempts, maxParkedStreams } = order
  const { stopping } = commands
  const pace = createPace(store.head, { threads: share.of, known: order.pace })

  const tellFailure = (projection: string, error: unknown): BuildFailure => {
    const failure = failureOf(error)
    if (failure.waits) logger.debug({ err: error, projection }, 'a thread cannot go on')
    else logger.error({ err: error, projection }, 'a thread has failed to load')
    tell({ is: 'failed', projection, failure })
    return failure
  }

  const openWorker = async (build: LoadOrder['builds'][number], logIdentity: string): Promise<Worker> => {
    const { projection: name, carefulUpTo, parkedStreams, ...which } = build
    const projection = projections.find((each) => each.name === name)
    if (!projection) throw new Error(`this version has no projection ${name}`)
    const over = commands.leaving(name)
    const builder = await openBuilder({
      ...{ projection, ...which, share, store, logIdentity, database, logger },
      windowEvents: () => (builder.position() < carefulUpTo ? 0 : pace.windowEvents()),
      parkedStreams: countedTogether(parkedStreams, share),
      policy: { ...defaultErrorPolicy, maxAttempts, maxParkedStreams },
      onWait: (reason) => tell({ is: 'waiting', projection: name, reason }),
    })
    const told = async (): Promise<boolean> => {
      tell({ is: 'progress', projection: name, position: builder.position(), handled: builder.handled() })
      return !over.aborted
    }
    const failed = async (error: unknown): Promise<void> => {
      if (tellFailure(name, error).waits) throw error
    }
    return { builder, over, progressed: told, saved: told, failed }
  }

  try {
    const logIdentity = await store.identity()
    const workers: Worker[] = []
    for (const build of order.builds)
      try {
        workers.push(await openWorker(build, logIdentity))
      } catch (error) {
        tellFailure(build.projection, error)
      }
    await pace.rest(0, stopping)
    const loaded = await takeTo(store, workers, { position, types, share, pace, signal: stopping })
    for (const { saved } of loaded) await saved()
    tell({ is: 'over', projections: loaded.map(({ builder }) => builder.projection.name) })
  } catch (error) {
    tell({ is: 'broken', failure: failureOf(error) })
  }
}
