import type { BeginAnew, Swap } from '../platform/checkpointed-store.ts'
import type { Queryable } from '../platform/database.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'

/**
 * Book-keeping about parked events that belongs to a change of a read model. A sink in PostgreSQL runs it in the
 * transaction of the effect, after the checkpoint is locked; any other sink runs it on the database before its effect.
 */
export type Bookkeeping = (transaction: Queryable) => Promise<void>

/** A stretch of one partition on its way into a read model. */
export interface SinkBatch {
  readonly partition: number
  /** In log order, only those that the projection handles; often none, when only the checkpoint moves. */
  readonly events: readonly RecordedEvent[]
  /** Where the checkpoint must stand, or the batch is fenced. */
  readonly from: bigint
  readonly to: bigint
  readonly record?: Bookkeeping | undefined
  /** Positions of events that are gone past because they are parked. */
  readonly skipped?: readonly bigint[] | undefined
}

/** Formerly parked events on their way into a read model. */
export interface LateBatch extends Omit<SinkBatch, 'from' | 'to' | 'skipped'> {
  /** Positions of parked events that will never come: a sink that remembers what it was taken past forgets them. */
  readonly discarded?: readonly bigint[]
}

/**
 * Where a projection's effect goes. The checkpoint commits with the effect, by compare-and-set, so that two writers at
 * once never apply an event twice: the late one is `fenced` and nothing of its batch remains. When `apply` throws,
 * nothing of the batch remains either.
 */
export interface ProjectionSink {
  /**
   * Creates what the sink writes to, and learns the log that new checkpoints stand in. Comes first; harmless when
   * repeated, also by several processes at once.
   *
   * @param anew for a sink that can lose what it held, and then begins anew
   */
  prepare(logIdentity: string, anew?: BeginAnew): Promise<void>
  /** The stored checkpoint of a partition; 0n of the present log when there is none. */
  checkpoint(partition: number): Promise<{ readonly position: bigint; readonly logIdentity: string }>
  apply(batch: SinkBatch): Promise<'applied' | 'fenced'>
  /** Applies formerly parked events, which the checkpoint has passed; it does not move. Excludes `apply` meanwhile. */
  applyLate(batch: LateBatch): Promise<void>
  /** Empties the read model and sets its checkpoints to 0 of the present log, in one step. */
  reset(record?: Bookkeeping): Promise<void>
  /** Of a sink that can lose data: whether it still holds what it was prepared with. */
  readonly intact?: (() => Promise<boolean>) | undefined
  /** Of a sink that remembers which events it was taken past: the positions of those that have not come late yet. */
  readonly skipped?: (() => Promise<readonly bigint[]>) | undefined
}

/** A sink that has taken in more than it has written. */
export interface WindowedSink extends Pick<ProjectionSink, 'apply'> {
  /** Writes all that was taken in. @throws WindowLost, BuildFenced */
  flush(): Promise<void>
}

/** A generation of a read model beside the live one. */
export interface BuildableSink extends ProjectionSink {
  /** Ends the bulk load: makes the indexes. Harmless when repeated. */
  complete(): Promise<void>
  /**
   * Of a sink that is loaded by several lanes: where they stand at the end of the load, the partitions of the feed stand
   * from then on. Harmless when repeated.
   */
  settle?(partitions: readonly number[]): Promise<void>
  /** Of rows that are each made of one stream: the same, in windows. For one partition. */
  inWindows?(windowEvents: () => number): WindowedSink
}

/** The generations of a read model; see `StoreGenerations`. */
export interface SinkGenerations {
  highest(): Promise<number>
  at(generation: number): BuildableSink
  swap(change: Swap): Promise<void>
  drop(generation: number): Promise<void>
}

/** A read model: which events make it and where it lives. */
export interface Projection {
  /** Names the consumer, its checkpoints and its PostgreSQL schema: `order_details`. */
  readonly name: string
  /** Raised whenever the same log would give other rows; tables of another version are rebuilt, never mixed. */
  readonly version: number
  /** Stored names that it handles, every version of each; see `namesOf`. */
  readonly types: readonly string[]
  readonly sink: ProjectionSink
  /** Absent where there is nothing to rebuild: the consumer has a checkpoint and no read model. */
  readonly generations?: SinkGenerations | undefined
  /** Stored names of the events that each begin a row or document; absent where events add up to sums. */
  readonly begins?: readonly string[] | undefined
  /** Every row is made of one stream, or of sums: writers that have a part of the streams each may load it together. */
  readonly partitionedByStream?: boolean | undefined
  /** It looks at the metadata or the ids of events or at when they were recorded; otherwise a rebuild reads none of that. */
  readonly needsMetadata?: boolean | undefined
  /**
   * Told events that it handles and that will probably be applied next, while the sink is still busy: for work that
   * changes nothing. Never throws.
   */
  readonly anticipate?: ((events: readonly RecordedEvent[]) => void) | undefined
}
