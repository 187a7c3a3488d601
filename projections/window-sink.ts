import { isTransient, type Transaction } from '../platform/database.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { ProjectionStopped } from './applier.ts'
import { isExhausted } from './exhausted.ts'
import type { ProjectionSink, SinkBatch, WindowedSink } from './projection.ts'
import type { RowWindow } from './row-fold.ts'

/** Somebody else writes to the generation, or has dropped it: this process has lost the rebuild. */
export class BuildFenced extends ProjectionStopped {}

/** What was taken in was not written. Nothing of it remains: it is read again from where the checkpoint stands. */
export class WindowLost extends ProjectionStopped {
  /** Where the window ends. */
  readonly to: bigint
  constructor(cause: unknown, to: bigint) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.to = to
  }
}

/** Of few events a window would never be full, and its checkpoint would stand still while the log is read. */
const maxBatches = 20
/** How often a window is written again that could not be, for nobody's fault. */
const maxRepeats = 4

/** A step of a checkpoint and what goes with it, in one transaction. */
export type Commit = (
  step: Pick<SinkBatch, 'partition' | 'from' | 'to'>,
  effect: (transaction: Transaction) => Promise<void>,
) => Promise<'applied' | 'fenced'>

/**
 * Takes batches in and writes those of a window together, while the next are taken in: a row that changes many times
 * within it is written once. What is written is whole, as its checkpoint goes with it. A batch that fails leaves nothing;
 * so does a window, with `WindowLost`.
 *
 * @param options.windowEvents asked at every batch: how many events a window has; 0 for none, each batch is applied by itself
 */
export const inWindows = (options: {
  readonly sink: Pick<ProjectionSink, 'apply'>
  readonly window: RowWindow<SinkBatch['events'][number]>
  readonly commit: Commit
  readonly windowEvents: () => number
}): WindowedSink => {
  const { sink, window, commit, windowEvents } = options
  /** What was taken in since the last turn. */
  let open: { step: Pick<SinkBatch, 'partition' | 'from' | 'to'>; events: number; batches: number } | undefined
  let writing: Promise<void> = Promise.resolve()

  /** What was taken in is kept for a server that is back in a moment. */
  const persistently = async (...work: Parameters<typeof commit>): Promise<'applied' | 'fenced'> => {
    for (let failures = 0; ; failures += 1)
      try {
        return await commit(...work)
      } catch (error) {
        if (failures === maxRepeats || !isTransient(error) || isExhausted(error)) throw error
        await pause(backOffMs(failures))
      }
  }

  const turn = async (): Promise<void> => {
    await writing
    if (!open) return
    const { step } = open
    open = undefined
    writing = persistently(step, window.turn()).then(
      (outcome) => {
        if (outcome === 'fenced') throw new BuildFenced('somebody else writes to this generation')
      },
      (error: unknown) => {
        throw new WindowLost(error, step.to)
      },
    )
    // It is awaited at the next turn, which may never come.
    writing.catch(() => undefined)
  }

  const flush = async (): Promise<void> => {
    await turn()
    await writing
    window.forget()
  }

  return {
    flush,
    apply: async (batch) => {
      const wanted = windowEvents()
      if (batch.record || wanted === 0) {
        await flush()
        return sink.apply(batch)
      }
      await window.fold(batch.events)
      const { partition, from, to } = batch
      const { step, events, batches } = open ?? { step: { from }, events: 0, batches: 0 }
      open = { step: { partition, from: step.from, to }, events: events + batch.events.length, batches: batches + 1 }
      if (open.events >= wanted || open.batches >= maxBatches) await turn()
      return 'applied'
    },
  }
}
