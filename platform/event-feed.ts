import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'

/**
 * One event on its way to a consumer. `recorded()` upcasts and names it (once, however many consumers share it) and
 * throws `UndecodableEvent` when this version of the code cannot read it: the consumer's error policy decides then.
 */
export interface FeedEvent {
  readonly stored: StoredEvent
  recorded(): RecordedEvent
}

/** Consecutive events of one partition. */
export interface FeedBatch {
  /** One of the feed's `partitions`. */
  readonly partition: number
  /**
   * May be empty: the position moved on over events that the consumer did not want, or that are of other partitions; or
   * it did not even move, and only the head did.
   */
  readonly events: readonly FeedEvent[]
  /** The checkpoint to store once the batch has been handled. */
  readonly position: bigint
  /** The last position known to exist when the batch was read: head minus position is the lag in events. */
  readonly head: bigint
}

export interface ConsumeOptions {
  /** Where the consumer's own checkpoint for a partition stands; asked whenever the partition is (re)assigned. */
  readonly checkpoint: (partition: number) => Promise<bigint>
  /** Told which partitions this member has, whenever that changes; `checkpoint` is asked for each of them afterwards. */
  readonly onAssigned?: (partitions: readonly number[]) => void
  /** Stored names the consumer wants; the others may be left out of the batches. Default: every one. */
  readonly types?: readonly string[]
  /** Events per batch at most. */
  readonly batchSize?: number
  /**
   * Told what was read ahead while a batch is handled: a hint, for work that can be done early. Most events come
   * without it, and some that were told never come.
   */
  readonly ahead?: (events: readonly FeedEvent[]) => void
  readonly signal: AbortSignal
}

/**
 * Carries the log to its consumers: at least once, in order within a stream. Iterations end with `LogWentBack` when the
 * log is found to be older than what was handed out of it.
 */
export interface EventFeed {
  /**
   * The partitions that a group shares: 0 alone for the log as a whole, 1 to n otherwise. A group has everything up to a
   * position when each of them has come to it.
   */
  readonly partitions: readonly number[]
  /**
   * Consume as a member of a group: each partition goes to one member at a time. When membership changes hands the
   * iteration goes on from the stored checkpoint; a sink fences the late writer by comparing checkpoints.
   */
  consume(group: string, options: ConsumeOptions): AsyncIterable<FeedBatch>
  /** Follow as an observer, outside any group, from a position (exclusive): every follower sees every event. */
  follow(options: { readonly after: bigint; readonly signal: AbortSignal }): AsyncIterable<FeedBatch>
  /** The last position of the log, as a cheap hint for lag. */
  head(): Promise<bigint>
}
