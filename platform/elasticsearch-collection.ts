import type { CheckpointedStore, CheckpointReader, StoreBatch } from './checkpointed-store.ts'
import type { Database } from './database.ts'
import { movePlace, readPlace, readPlaces } from './elasticsearch-checkpoints.ts'
import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { createGenerations, type IndexShape, writesOf } from './elasticsearch-generations.ts'
import { isSealed } from './partitioning.ts'

/** Somebody else has made the change that was to be made. */
class NotOurs extends Error {}

/** What a batch did: nothing, or wrote documents that searches see already (`searchable`) or will see (`written`). */
export type Effect = 'nothing' | 'written' | 'searchable'

/**
 * An index with the checkpoints of those who write it. Elasticsearch has no transaction, so the order makes it safe:
 *
 * read the checkpoint -> documents, each with its position as version -> book-keeping -> checkpoint by compare-and-set
 *
 * What dies in between is done again from the old checkpoint and changes nothing that is there already. A writer that is
 * late finds the checkpoint moved, or the alias of its generation gone; what it wrote until then was nothing that the
 * log does not say, and no newer document.
 */
export const createElasticsearchCollection = <Batch extends StoreBatch>(deps: {
  readonly engine: Elasticsearch
  readonly database: Database
  /** `orderlog-orders-v1`; its generations are named after it. */
  readonly alias: string
  readonly shape: IndexShape
  /** @param writes the alias to write through */
  readonly write: (writes: string, batch: Batch) => Promise<Effect>
}): CheckpointedStore<Batch> & CheckpointReader & { intact(): Promise<boolean> } => {
  const { engine, database, alias, shape, write } = deps
  const generations = createGenerations(engine, alias, shape)
  let identity: string | undefined
  let prepared: string | undefined
  const logIdentity = (): string => {
    if (identity === undefined) throw new Error(`the index ${alias} was not prepared`)
    return identity
  }
  /** Partitions of which this process knows that nothing unseen was written before their checkpoint. */
  const settled = new Set<string>()

  const refresh = (index: string) => engine.write((client, options) => client.indices.refresh({ index }, options))

  /**
   * Changes an index in a transaction that is open meanwhile: what PostgreSQL holds about the old content is forgotten
   * if, and only if, the content is gone.
   */
  const together = (record: StoreBatch['record'], change: () => Promise<boolean>): Promise<boolean> =>
    database
      .transaction(async (transaction) => {
        await record?.(transaction)
        if (!(await change())) throw new NotOurs()
        return true
      })
      .catch((error: unknown) => {
        if (error instanceof NotOurs) return false
        throw error
      })

  return {
    prepare: async (log, anew) => {
      identity = log
      prepared = await generations.ensure((make) => together(anew?.record, make))
    },
    checkpoint: async (consumer, partition) => {
      const place = await readPlace(engine, alias, consumer, partition)
      if (place?.seen) return { position: place.position, logIdentity: place.logIdentity }
      return { position: 0n, logIdentity: logIdentity() }
    },
    applyBatch: async (batch) => {
      const { consumer, partition, from, to } = batch
      const place = await readPlace(engine, alias, consumer, partition)
      if (!place || place.position !== from) return 'fenced'
      const writes = writesOf(place.index)
      const key = `${consumer}:${partition}`
      // What a writer that died here has written is not seen yet, perhaps, and will not be written again.
      const certain = settled.delete(key)
      let effect: Effect
      try {
        effect = await write(writes, batch)
        if (effect === 'nothing' && !(certain && place.searchable)) await refresh(writes)
      } catch (error) {
        if (error instanceof IndexMissing) return 'fenced'
        throw error
      }
      const { record } = batch
      // Between both: parked events are put down before the checkpoint passes them, and forgotten after they are in.
      if (record) await database.transaction(record)
      const searchable = effect !== 'written'
      const move = { consumer, partition, seen: place.seen, to, logIdentity: logIdentity(), searchable }
      if (!(await movePlace(engine, writes, move))) return 'fenced'
      settled.add(key)
      return 'applied'
    },
    reset: async (_consumer, record) => {
      await together(record, async () => {
        prepared = await generations.replace()
        return true
      })
    },
    checkpoints: async (consumer) => {
      // Sealed: the partitions have gone on from there.
      const places = (await readPlaces(engine, alias, consumer)).filter(({ position }) => !isSealed(BigInt(position)))
      // Read before the refresh: all that was written up to them is then visible.
      if (places.some((place) => !place.searchable)) await refresh(alias)
      return places.map(({ partition, position, updatedAt }) => ({ partition, position: BigInt(position), updatedAt }))
    },
    // Deleted, or replaced by who rebuilds it elsewhere.
    intact: async () => prepared !== undefined && (await generations.served()) === prepared,
  }
}
