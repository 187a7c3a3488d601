import type { FeedEvent } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { StreamShare } from '../platform/stream-share.ts'
import type { Pace } from './pace.ts'
import type { Builder } from './rebuild-builder.ts'
import { readLog } from './rebuild-reading.ts'
import { BuildFenced } from './window-sink.ts'

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
    /** Only of these streams, with `types`; default every one. */
    readonly share?: StreamShare
    readonly pace: Pace
    readonly signal: AbortSignal
  },
): Promise<readonly Taken[]> => {
  const { position, types, share, pace, signal } = to
  let left = workers
  const start = left.reduce((least, { builder }) => (builder.position() < least ? builder.position() : least), position)
  const failing = new AbortController()
  const signals = new Map(
    workers.map((worker) => [worker, AbortSignal.any([signal, failing.signal, ...(worker.over ? [worker.over] : [])])]),
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
  /** What ends one in a way that ends all is not to be waited for by the others. */
  const orAbort = async <Result>(working: Promise<Result>): Promise<Result> => {
    try {
      return await working
    } catch (error) {
      failing.abort()
      throw error
    }
  }
  const ahead = (events: readonly FeedEvent[]) => {
    for (const { builder } of left) builder.anticipate(events)
  }
  const withoutMetadata = left.every(({ builder }) => !builder.projection.needsMetadata)
  const reading = { after: start, upTo: position, share, chunkEvents: pace.chunkEvents, withoutMetadata, ahead, signal }
  for await (const chunk of readLog(store, { ...reading, ...(types ? { types } : {}) })) {
    const began = performance.now()
    const outcomes = await Promise.allSettled(left.map((worker) => orAbort(work(worker, chunk.events, chunk.position))))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure) {
      // All of them are opened again, where they then stand: nobody may still be writing.
      await Promise.allSettled(left.map(({ builder }) => builder.flush()))
      throw failure.reason
    }
    left = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' && outcome.value ? [outcome.value] : []))
    if (left.length === 0 || signal.aborted) return []
    await pace.rest(performance.now() - began, signal)
  }
  if (signal.aborted) return []
  const flushed = await Promise.allSettled(left.map(({ builder }) => builder.flush()))
  const written: Taken[] = []
  for (const [index, worker] of left.entries()) {
    const outcome = flushed[index]
    if (outcome?.status !== 'rejected') written.push(worker)
    else if (outcome.reason instanceof BuildFenced) throw outcome.reason
    else await worker.failed(outcome.reason)
  }
  return written
}
