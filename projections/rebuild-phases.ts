import type { FeedEvent } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import { type Builder, BuildFenced } from './rebuild-builder.ts'
import type { Pace } from './rebuild-pace.ts'
import { readLog } from './rebuild-reading.ts'

/** A builder in a run, and what becomes of it. */
export interface Worker {
  readonly builder: Builder
  /** Aborts when it is not to go on, not even waiting. */
  readonly over?: AbortSignal
  /** Told after every chunk. False: it is not to go on, as somebody has cancelled it. */
  readonly progressed: () => Promise<boolean>
  /** The same at once. */
  readonly saved: () => Promise<boolean>
  /** Told what ends it; throws what is nobody's fault, which all wait for. */
  readonly failed: (error: unknown) => Promise<void>
}

/**
 * Takes builders to a position of the log, which is read once for all of them, from where the one furthest behind stands.
 *
 * @param types only these stored names are read; default every one
 * @returns those that have come there; the others were cancelled, have failed or were aborted
 */
export const takeTo = async <Taken extends Worker>(
  store: Pick<EventStore, 'readAll'>,
  workers: readonly Taken[],
  to: {
    readonly position: bigint
    readonly types?: readonly string[]
    readonly pace: Pace
    readonly signal: AbortSignal
  },
): Promise<readonly Taken[]> => {
  const { position, types, pace, signal } = to
  let left = workers
  const start = left.reduce((least, { builder }) => (builder.position() < least ? builder.position() : least), position)
  const signals = new Map(
    workers.map((worker) => [worker, worker.over ? AbortSignal.any([signal, worker.over]) : signal]),
  )
  const work = async (worker: Taken, events: readonly FeedEvent[], end: bigint): Promise<Taken | undefined> => {
    try {
      if (!(await worker.builder.apply(events, end, signals.get(worker) ?? signal))) return undefined
    } catch (error) {
      if (error instanceof BuildFenced) throw error
      await worker.failed(error)
      return undefined
    }
    return (await worker.progressed()) ? worker : undefined
  }
  const ahead = (events: readonly FeedEvent[]) => {
    for (const { builder } of left) builder.anticipate(events)
  }
  const reading = { after: start, upTo: position, chunkEvents: pace.chunkEvents, ahead, signal }
  for await (const chunk of readLog(store, { ...reading, ...(types ? { types } : {}) })) {
    const began = performance.now()
    const outcomes = await Promise.all(left.map((worker) => work(worker, chunk.events, chunk.position)))
    left = outcomes.filter((worker) => worker !== undefined)
    if (left.length === 0 || signal.aborted) return left
    await pace.rest(performance.now() - began, signal)
  }
  return signal.aborted ? [] : left
}
