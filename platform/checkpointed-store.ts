import type { Queryable } from './database.ts'

/** A stretch of one partition of the log, turned into what a store takes. */
export interface StoreBatch {
  /** Whose checkpoint it is: the projection's name. */
  readonly consumer: string
  readonly partition: number
  /** Where the checkpoint must stand (0n: none yet), or the batch is fenced. */
  readonly from: bigint
  /** Where it stands afterwards; equal to `from` when earlier events are applied late. */
  readonly to: bigint
  /**
   * The consumer's book-keeping in PostgreSQL. A store in PostgreSQL runs it in the transaction of the effect, after the
   * checkpoint is locked; any other store runs it on the database before its effect, or after it when it is `late`.
   */
  readonly record?: Bookkeeping | undefined
  /** Positions that the checkpoint goes past though their events are not applied, because they are parked. */
  readonly skipped?: readonly bigint[] | undefined
  /**
   * Positions of events, skipped before, that are applied now. A store that keeps `skipped` takes the batch when all of
   * them are still among those, and is `fenced` otherwise: an event comes once, though its book-keeping commits apart.
   */
  readonly late?: readonly bigint[] | undefined
}

type Bookkeeping = (transaction: Queryable) => Promise<void>

/** Where a consumer stands and in which log. */
export interface StoredCheckpoint {
  readonly position: bigint
  readonly logIdentity: string
}

/** How far one partition is, for who asks from outside. */
export interface PartitionCheckpoint {
  readonly partition: number
  readonly position: bigint
  /** When it last moved, ISO 8601. */
  readonly updatedAt: string
}

/** Where the checkpoints of consumers are that PostgreSQL's `platform.checkpoints` knows nothing of. */
export interface CheckpointReader {
  /** Those of a consumer, by partition; none when it has never been here or what it wrote is lost. */
  checkpoints(consumer: string): Promise<readonly PartitionCheckpoint[]>
}

/** The same, and of each generation by its number. */
export interface GenerationsReader extends CheckpointReader {
  readonly generations: { at(generation: number): CheckpointReader }
}

/** How the generation of a read model takes the place of the live one. */
export interface Swap {
  /** The live generation, which is kept under its number. */
  readonly from: number
  /** The generation that is to be live. */
  readonly to: number
  /** Those of the feed: each has a checkpoint afterwards. */
  readonly partitions: readonly number[]
  readonly logIdentity: string
  /**
   * Brings `to` to the end of the log, while the live generation stands still. The log is read after the standstill has
   * begun, so that nobody was shown by the old generation what the new one does not have.
   *
   * Undefined: `to` is swapped in as it stands, with its own checkpoints, as another version of the code has left it.
   *
   * @returns the position that it has come to
   */
  readonly reach: (() => Promise<bigint>) | undefined
  /** Writes down in PostgreSQL which generation is live, with the swap or after it; harmless when repeated. */
  readonly record: Bookkeeping
}

/**
 * The generations of what one consumer writes: one is live; beside it one may be built, and former ones are kept. Engine
 * failures are `EngineUnavailable`.
 */
export interface StoreGenerations<Store> {
  /** The highest number of which there is anything; 0 when there is nothing at all. */
  highest(): Promise<number>
  /**
   * A generation that is not live, to be written and read like the live one. Its `prepare` makes it when it does not
   * exist; its batches have the same consumer as those of the live one.
   */
  at(generation: number): Store & Buildable
  /** Swaps at one instant for all readers, and fences who still writes to the former one. Harmless when repeated. */
  swap(change: Swap): Promise<void>
  /** Removes a generation that is not live, if it is there. */
  drop(generation: number): Promise<void>
}

/** A generation that is loaded in bulk. */
export interface Buildable {
  /** Ends the bulk load: what is cheaper to make afterwards, such as indexes, is made. Harmless when repeated. */
  complete(): Promise<void>
}

/** What a store whose content can be lost needs to know to begin anew. */
export interface BeginAnew {
  /** The end of the log: until its checkpoints are there, the store says that it is not built yet. */
  readonly head: bigint
  /** Forgets what PostgreSQL holds about the lost content. */
  readonly record: Bookkeeping
}

/**
 * An engine that keeps the checkpoints of those who write to it, so that effect and checkpoint are one. Engine failures
 * are thrown as `EngineUnavailable`.
 */
export interface CheckpointedStore<Batch extends StoreBatch> {
  /**
   * Creates what it writes to. Harmless when it exists; several processes may do it at once. Comes before everything
   * else of those who write; who only reads needs none of it.
   *
   * @param logIdentity uuid of the log that checkpoints will stand in
   * @param anew for a store that finds its content lost or damaged: it is empty then, with checkpoints at 0
   * @throws StartupError when the engine lacks what the store needs
   */
  prepare(logIdentity: string, anew?: BeginAnew): Promise<void>
  /** A consumer that has never been here stands at 0n of the present log. */
  checkpoint(consumer: string, partition: number): Promise<StoredCheckpoint>
  /**
   * Takes the batch and moves the checkpoint, both or neither, by compare-and-set; `fenced` and nothing done when the
   * checkpoint is not at `from`. Nothing is done either when it throws.
   */
  applyBatch(batch: Batch): Promise<'applied' | 'fenced'>
  /** Empties what it holds and sets the consumer's checkpoints to 0 of the present log; `record` as in a batch. */
  reset(consumer: string, record?: StoreBatch['record']): Promise<void>
  /** Of a store outside PostgreSQL that can lose data: whether it still holds what it was prepared with. */
  intact?(): Promise<boolean>
  /** Of a store that keeps `skipped`: the positions that have not come late yet. */
  skipped?(consumer: string): Promise<readonly bigint[]>
}
