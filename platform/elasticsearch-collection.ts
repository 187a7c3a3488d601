import type {
  Buildable,
  CheckpointedStore,
  CheckpointReader,
  StoreBatch,
  StoreGenerations,
} from './checkpointed-store.ts'
import type { Database } from './database.ts'
import { movePlace, readPlace, readPlaces } from './elasticsearch-checkpoints.ts'
import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { createElasticsearchGenerationEngine } from './elasticsearch-generation-engine.ts'
import { createIndices, type IndexShape, indexOf, newestOf, servedOf, writesOf } from './elasticsearch-generations.ts'
import { createEngineGenerations } from './engine-generations.ts'
import type { Logger } from './logging.ts'
import { isSealed } from './partitioning.ts'
import { consumerOfGeneration } from './read-model-generations.ts'
import type { SearchCollection } from './search-index.ts'

/** Waits for a swap that is under way. */
const patient = { statementTimeoutMs: 60_000 }

/** What all collections in Elasticsearch have in common: everything but documents and searches. */
export interface ElasticsearchCollection<Batch extends StoreBatch, Store>
  extends CheckpointedStore<Batch>,
    CheckpointReader,
    Buildable {
  intact(): Promise<boolean>
  /** The alias or index to read from. @throws IndexMissing */
  target(): Promise<string>
  /** Under which name events are parked that the generation was taken past. */
  parkedUnder(consumer: string): string
  readonly generations: StoreGenerations<Store>
}

/** A collection with its documents and searches, of the live generation or another one. */
export interface ElasticsearchSearch<Document, Batch extends StoreBatch, Query>
  extends SearchCollection<Document, Batch, Query>,
    CheckpointReader,
    Buildable {
  intact(): Promise<boolean>
  readonly generations: StoreGenerations<ElasticsearchSearch<Document, Batch, Query>>
}

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
export const createElasticsearchCollection = <
  Batch extends StoreBatch,
  Store extends CheckpointedStore<Batch> & Buildable,
>(deps: {
  readonly engine: Elasticsearch
  readonly database: Database
  readonly logger: Logger
  /** `orderlog-orders-v1`; its generations are named after it. */
  readonly alias: string
  /** Of the projection. */
  readonly name: string
  /** Default: the live one. */
  readonly generation?: number | undefined
  readonly shape: IndexShape
  /**
   * @param writes the alias to write through
   * @param loading nothing need be visible to searches yet
   */
  readonly write: (writes: string, batch: Batch, loading: boolean) => Promise<Effect>
  /** The same of a generation that is not live. */
  readonly at: (generation: number) => Store
}): ElasticsearchCollection<Batch, Store> => {
  const { engine, database, logger, alias, name, generation: fixed, shape, write, at } = deps
  const indices = createIndices(engine, alias, shape)
  const generations = createEngineGenerations({
    ...{ database, logger, name },
    engine: createElasticsearchGenerationEngine({ engine, indices, name }),
  })
  let identity: string | undefined
  let prepared: { readonly index: string; readonly generation: number } | undefined
  let loading = false
  const logIdentity = (): string => {
    if (identity === undefined) throw new Error(`the index ${alias} was not prepared`)
    return identity
  }
  /** Partitions of which this process knows that nothing unseen was written before their checkpoint. */
  const settled = new Set<string>()

  const refresh = (index: string) => engine.write((client, options) => client.indices.refresh({ index }, options))

  const target = async (): Promise<string> => {
    if (fixed === undefined) return alias
    const index = prepared?.index ?? indexOf(await indices.look(), fixed)?.name
    if (index === undefined) throw new IndexMissing()
    return index
  }

  /**
   * An empty index in the place of the live one. In a transaction that is open meanwhile: what PostgreSQL holds about the
   * old content is forgotten if, and only if, the content is gone.
   */
  const begin = (
    generation: number,
    record: StoreBatch['record'],
    how: { readonly evenWhenServed: boolean },
  ): Promise<string> =>
    database.transaction(async (transaction) => {
      await generations.keepLive(transaction, generation)
      const served = servedOf(await indices.look())
      // Several processes notice a loss at once; one of them begins anew, and the others find it begun.
      if (served?.generation === generation && !how.evenWhenServed) return served.name
      await record?.(transaction)
      const index = await indices.create(generation, { loading: false })
      const gone = (await indices.look()).filter((old) => old.generation === generation && old.name !== index)
      await indices.serve(
        index,
        gone.map((old) => old.name),
      )
      return index
    }, patient)

  const prepareLive = async (record: StoreBatch['record']): Promise<void> => {
    const generation = await generations.enter()
    const served = servedOf(await indices.look())
    const index =
      served?.generation === generation ? served.name : await begin(generation, record, { evenWhenServed: false })
    prepared = { generation, index }
  }

  const prepareBeside = async (
    generation: number,
    emptied?: { readonly record: StoreBatch['record'] },
  ): Promise<void> => {
    const index = await database.transaction(async (transaction) => {
      await generations.keepBeside(transaction, generation)
      const found = newestOf(await indices.look(), generation)
      if (emptied && found) {
        await emptied.record?.(transaction)
        await indices.remove([found.name])
        return indices.create(generation, { loading: true })
      }
      if (!found) return indices.create(generation, { loading: true })
      if (!found.writable) await indices.open(found.name)
      return found.name
    }, patient)
    loading = await indices.isLoading(index)
    prepared = { generation, index }
  }

  /** Parked events are put down before the checkpoint passes them, and forgotten after they are in. */
  const bookkeeping = async (record: NonNullable<StoreBatch['record']>, generation: number): Promise<boolean> => {
    if (fixed === undefined) return generations.record(generation, record)
    await database.transaction(record)
    return true
  }

  return {
    target,
    parkedUnder: (consumer) => (fixed === undefined ? consumer : consumerOfGeneration(consumer, fixed)),
    prepare: async (log, anew) => {
      identity = log
      if (fixed === undefined) await prepareLive(anew?.record)
      else await prepareBeside(fixed)
    },
    checkpoint: async (consumer, partition) => {
      const place = await readPlace(engine, await target(), consumer, partition)
      if (place?.seen) return { position: place.position, logIdentity: place.logIdentity }
      return { position: 0n, logIdentity: logIdentity() }
    },
    applyBatch: async (batch) => {
      const { consumer, partition, from, to } = batch
      if (!prepared) throw new Error(`the index ${alias} was not prepared`)
      const { index, generation } = prepared
      const place = await readPlace(engine, await target(), consumer, partition)
      // Of another generation it may have the very same position, and rows of another version.
      if (!place || place.index !== index || place.position !== from) return 'fenced'
      const writes = writesOf(index)
      const key = `${consumer}:${partition}`
      // What a writer that died here has written is not seen yet, perhaps, and will not be written again.
      const certain = settled.delete(key)
      let effect: Effect
      try {
        effect = await write(writes, batch, loading)
        if (effect === 'nothing' && !loading && !(certain && place.searchable)) await refresh(writes)
      } catch (error) {
        if (error instanceof IndexMissing) return 'fenced'
        throw error
      }
      if (batch.record && !(await bookkeeping(batch.record, generation))) return 'fenced'
      const searchable = effect !== 'written' && !loading
      const move = { consumer, partition, seen: place.seen, to, logIdentity: logIdentity(), searchable }
      if (!(await movePlace(engine, writes, move))) return 'fenced'
      settled.add(key)
      return 'applied'
    },
    reset: async (_consumer, record) => {
      if (fixed !== undefined) return prepareBeside(fixed, { record })
      if (!prepared) throw new Error(`the index ${alias} was not prepared`)
      const { generation } = prepared
      prepared = { generation, index: await begin(generation, record, { evenWhenServed: true }) }
    },
    checkpoints: async (consumer) => {
      try {
        const index = await target()
        // Sealed: the partitions have gone on from there.
        const places = (await readPlaces(engine, index, consumer)).filter(({ position }) => !isSealed(BigInt(position)))
        // Read before the refresh: all that was written up to them is then visible.
        if (places.some((place) => !place.searchable)) await refresh(index)
        return places.map(({ partition, position, updatedAt }) => ({
          ...{ partition, updatedAt },
          position: BigInt(position),
        }))
      } catch (error) {
        if (error instanceof IndexMissing) return []
        throw error
      }
    },
    // Deleted, replaced by who rebuilds it elsewhere, or held for a swap.
    intact: async () => {
      const found = (await indices.look()).find(({ name: index }) => index === prepared?.index)
      return found?.writable === true && (fixed !== undefined || found.served)
    },
    complete: async () => {
      if (fixed === undefined) return
      await indices.loaded(await target())
      loading = false
    },
    generations: {
      highest: async () =>
        Math.max(0, ...(await indices.look()).map(({ generation }) => generation), await generations.recorded()),
      at,
      swap: generations.swap,
      drop: generations.drop,
    },
  }
}
