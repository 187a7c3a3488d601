import type { CheckpointedStore, StoreBatch, StoreGenerations } from '../platform/checkpointed-store.ts'
import { EngineUnavailable, GenerationReplaced } from '../platform/failures.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { ProjectionSink, SinkGenerations } from './projection.ts'

/** What a batch holds beside its place in the log. */
type Effect<Batch extends StoreBatch> = Omit<Batch, keyof StoreBatch>

/**
 * A sink in front of an engine that keeps its own checkpoints.
 *
 * @param effectOf what the events, in log order, do to the store; may read the store, and must change nothing
 */
export const storeSink = <Batch extends StoreBatch>(
  consumer: string,
  store: CheckpointedStore<Batch>,
  effectOf: (events: readonly RecordedEvent[]) => Promise<Effect<Batch>>,
): ProjectionSink => {
  const { intact, skipped } = store
  const apply = async (place: StoreBatch, events: readonly RecordedEvent[]) =>
    store.applyBatch({ ...place, ...(await effectOf(events)) } as unknown as Batch)

  const applyLate: ProjectionSink['applyLate'] = async ({ partition, events, record, discarded = [] }) => {
    // A checkpoint that is moved from where it stands to where it stands locks the partition like any other batch.
    for (;;) {
      const waiting = skipped && new Set(await skipped(consumer))
      const due = waiting ? events.filter((event) => waiting.has(event.position)) : events
      const late = waiting && [
        ...due.map((event) => event.position),
        ...discarded.filter((position) => waiting.has(position)),
      ]
      const { position } = await store.checkpoint(consumer, partition)
      const place = { consumer, partition, from: position, to: position, record, late }
      if ((await apply(place, due)) === 'applied') return
      if (intact && !(await intact()))
        throw new EngineUnavailable(consumer, 'what it held is lost, and is about to be rebuilt from the log')
      // Fenced where it stands: it is not the position that fences it, so that it would be for ever.
      if (!intact && (await store.checkpoint(consumer, partition)).position === position)
        throw new GenerationReplaced(consumer)
    }
  }

  return {
    prepare: (logIdentity, anew) => store.prepare(logIdentity, anew),
    checkpoint: (partition) => store.checkpoint(consumer, partition),
    apply: ({ events, ...place }) => apply({ consumer, ...place }, events),
    applyLate,
    reset: (record) => store.reset(consumer, record),
    intact: intact && (() => intact()),
    skipped: skipped && (() => skipped(consumer)),
  }
}

/** The generations of a store as those of the sink in front of it. */
export const storeGenerations = <Batch extends StoreBatch, Store extends CheckpointedStore<Batch>>(
  generations: StoreGenerations<Store> | undefined,
  sinkOf: (store: Store) => ProjectionSink,
): SinkGenerations | undefined =>
  generations && {
    ...generations,
    at: (generation) => {
      const store = generations.at(generation)
      return { ...sinkOf(store), complete: () => store.complete() }
    },
  }
