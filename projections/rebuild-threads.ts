import { on } from 'node:events'
import { availableParallelism } from 'node:os'
import type { Worker as Thread } from 'node:worker_threads'
import type { Logger } from '../platform/logging.ts'
import { shareOf } from '../platform/stream-share.ts'
import { BuildFailed, type BuildFailure } from './rebuild-failure.ts'
import type { LoadCommand, LoadOrder, LoadReport } from './rebuild-thread.ts'
import type { Progress, RebuildWorker } from './rebuild-worker.ts'
import type { ErrorPolicy } from './verdict.ts'

/** Starts a thread that does `loadShare`. */
export type StartThread = (order: LoadOrder) => Thread

/**
 * How long a thread that is to stop may take for what it is at, milliseconds: less than a process that stops gives to what
 * runs in it. Then it is ended, and its transactions roll back.
 */
const stopWithinMs = 4_000
/** Each has a heap and connections of its own. */
const mostThreads = 4

/**
 * How many threads: one for each lane, if they can read a part of the log each and all builds have as many lanes; no more than
 * there are processors, and each with as many lanes as the others.
 */
const threadsFor = (splits: boolean, workers: readonly RebuildWorker[]): number => {
  const [lanes = 1, ...others] = new Set(workers.map(({ rebuild }) => rebuild.lanes))
  if (!splits || others.length > 0) return 1
  let threads = Math.min(lanes, mostThreads, availableParallelism())
  while (lanes % threads !== 0) threads -= 1
  return threads
}

/** Numbers that all threads see, one for each share. */
const sharedCounts = (streams: Iterable<string>, shares: number): Int32Array => {
  const counts = new Int32Array(new SharedArrayBuffer(shares * Int32Array.BYTES_PER_ELEMENT))
  for (const stream of streams) {
    const share = shareOf(stream, shares)
    counts[share] = (counts[share] ?? 0) + 1
  }
  return counts
}

/** What the threads tell of one build. */
const gathered = (worker: RebuildWorker, threads: number) => {
  const reached: Progress[] = Array.from({ length: threads }, () => ({
    position: worker.builder.position(),
    handled: 0,
  }))
  const reasons = new Map<number, string | undefined>()
  let loaded = 0
  return {
    progressed: (thread: number, now: Progress): Promise<boolean> => {
      reached[thread] = now
      worker.reached({
        position: reached.reduce((least, { position }) => (position < least ? position : least), now.position),
        handled: reached.reduce((sum, { handled }) => sum + handled, 0),
      })
      return worker.progressed()
    },
    waits: (thread: number, reason: string | undefined): void => {
      reasons.set(thread, reason)
      worker.waits([...reasons.values()].find((each) => each !== undefined))
    },
    loaded: (): void => {
      loaded += 1
    },
    isLoaded: (): boolean => loaded === threads,
  }
}

/**
 * Loads in threads of their own, each a share of the streams: this one is free for whom it serves, and a load takes as many
 * processors as it has lanes.
 *
 * @param deps.splits whether the log can be read in shares
 * @param workers opened here, and built there
 * @returns those that have come to the position; the others were cancelled, have failed or were aborted
 * @throws BuildFailed, which all wait for; Error when a thread has died
 */
export const loadInThreads = async (
  deps: { readonly startThread: StartThread; readonly splits: boolean; readonly logger: Logger },
  workers: readonly RebuildWorker[],
  to: Pick<LoadOrder, 'position' | 'types' | 'pace'> & {
    readonly policy: Pick<ErrorPolicy, 'maxAttempts' | 'maxParkedStreams'>
    readonly signal: AbortSignal
  },
): Promise<readonly RebuildWorker[]> => {
  const { startThread, splits, logger } = deps
  const { position, types, pace, policy, signal } = to
  const { maxAttempts, maxParkedStreams } = policy
  if (workers.length === 0 || signal.aborted) return []
  const count = threadsFor(splits, workers)
  const builds = workers.map(({ rebuild, carefulUpTo, parkedStreams }) => ({
    projection: rebuild.projection,
    generation: rebuild.generation,
    lanes: rebuild.lanes,
    carefulUpTo: carefulUpTo(),
    parkedStreams: sharedCounts(parkedStreams, count),
  }))
  const order = { position, types, pace, maxAttempts, maxParkedStreams, builds }
  const threads: Thread[] = []
  const ended: Promise<unknown>[] = []
  const all = (command: LoadCommand): void => {
    for (const thread of threads) thread.postMessage(command)
  }
  let deadline: NodeJS.Timeout | undefined
  const stop = (): void => {
    all({ do: 'stop' })
    deadline ??= setTimeout(() => {
      logger.warn('threads of a rebuild did not stop in time and are ended')
      for (const thread of threads) void thread.terminate()
    }, stopWithinMs)
  }

  const left = new Map(workers.map((worker) => [worker.rebuild.projection, worker]))
  const told = new Map(workers.map((worker) => [worker, gathered(worker, count)]))
  const leave = (worker: RebuildWorker): void => {
    left.delete(worker.rebuild.projection)
    all({ do: 'leave', projection: worker.rebuild.projection })
  }
  const fail = async (worker: RebuildWorker, failure: BuildFailure): Promise<void> => {
    leave(worker)
    await worker.failed(new BuildFailed(failure))
  }
  const cancelled = workers.map((worker) => [worker, () => leave(worker)] as const)

  /** Until it has told all. */
  const follow = async (thread: Thread, index: number): Promise<void> => {
    for await (const [message] of on(thread, 'message', { close: ['exit'] })) {
      const report = message as LoadReport
      if (report.is === 'broken') {
        for (const worker of left.values()) await fail(worker, report.failure)
        return
      }
      if (report.is === 'over') {
        for (const name of report.projections) {
          const worker = left.get(name)
          if (worker) told.get(worker)?.loaded()
        }
        return
      }
      const worker = left.get(report.projection)
      // It was over before this was told.
      if (!worker) continue
      if (report.is === 'failed') await fail(worker, report.failure)
      else if (report.is === 'waiting') told.get(worker)?.waits(index, report.reason)
      else if (!(await told.get(worker)?.progressed(index, report))) leave(worker)
    }
    throw new Error('a thread of a rebuild has ended without a word')
  }

  signal.addEventListener('abort', stop)
  for (const [worker, gone] of cancelled) worker.over?.addEventListener('abort', gone)
  try {
    for (let index = 0; index < count; index += 1) {
      const thread = startThread({ ...order, share: { index, of: count } })
      // Whoever follows it tells of it; afterwards nobody would.
      thread.on('error', () => undefined)
      ended.push(new Promise((resolve) => thread.once('exit', resolve)))
      threads.push(thread)
    }
    const outcomes = await Promise.allSettled(
      threads.map((thread, index) =>
        follow(thread, index).catch((error: unknown) => {
          stop()
          throw error
        }),
      ),
    )
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure) throw failure.reason
  } finally {
    // Those that have told all are about to end by themselves.
    stop()
    await Promise.all(ended)
    clearTimeout(deadline)
    signal.removeEventListener('abort', stop)
    for (const [worker, gone] of cancelled) worker.over?.removeEventListener('abort', gone)
  }
  return signal.aborted ? [] : [...left.values()].filter((worker) => told.get(worker)?.isLoaded())
}
