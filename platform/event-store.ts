import type { NewEvent, StoredEvent, StoredFact } from '../schemas/envelope.ts'
import type { StreamShare } from './stream-share.ts'

/**
 * What the writer believes about the stream: its last revision, that it does not exist (`none`), or nothing (`any`).
 */
export type ExpectedRevision = bigint | 'none' | 'any'

/** A conflict is an expected outcome and therefore a value, the same from every adapter. */
export type AppendResult =
  | { readonly outcome: 'appended'; readonly revision: bigint; readonly position: bigint }
  | { readonly outcome: 'conflict'; readonly expected: ExpectedRevision; readonly actual: bigint | 'none' }

/** One append may carry so many bytes of data and metadata (UTF-8 JSON) and type names (two a character), the same in every adapter. */
export const maxAppendBytes = 1_048_576

/** The append is larger than `maxAppendBytes`; it will never succeed. Nothing was written. */
export class AppendTooLarge extends Error {
  readonly code = 'append-too-large'
  readonly bytes: number
  readonly limit = maxAppendBytes
  constructor(stream: string, bytes: number) {
    super(`an append of ${bytes} bytes to ${stream} exceeds the limit of ${maxAppendBytes} bytes`)
    this.name = 'AppendTooLarge'
    this.bytes = bytes
  }
}

export interface ReadStreamOptions {
  /** First revision to return. Forwards: default 0. Backwards: default the last one. */
  readonly from?: bigint
  readonly direction?: 'forwards' | 'backwards'
  /** At most so many events; default all. */
  readonly limit?: number
}

export interface StreamSlice {
  /** The stream's last revision at the moment of reading, `none` when the stream does not exist. */
  readonly revision: bigint | 'none'
  readonly events: readonly StoredEvent[]
}

/** Everything that happened in a stream, without the circumstances: what it takes to fold a state. */
export interface StreamHistory {
  /** Undefined when the stream does not exist. */
  readonly last: Pick<StoredEvent, 'id' | 'revision' | 'position'> | undefined
  readonly events: readonly StoredFact[]
}

export interface ReadAllOptions {
  /** Events after this position (exclusive); 0n for the beginning. */
  readonly after: bigint
  /** At most so many events. */
  readonly limit: number
  /** Only these stored names; default every one. */
  readonly types?: readonly string[]
  /** With `types`: not beyond this position, which the log is known to have. */
  readonly upTo?: bigint
  /** Whether the page should have its `json`. */
  readonly withJson?: boolean
  /** Whether much of the log will be read: then an engine may take a way that costs more a page and less an event. */
  readonly bulk?: boolean
  /**
   * With `bulk`: nobody will look at the metadata of an event, at its id, or at when it was recorded, and an engine may leave
   * them out. To look at the metadata all the same throws; id and time are then none.
   */
  readonly withoutMetadata?: boolean
  /** With `bulk` and `types`, of a log that `splits`: only events of these streams. */
  readonly share?: StreamShare
}

/** Data and metadata of an event as the log holds them: JSON without a line break. */
export interface EventJson {
  readonly data: string
  readonly metadata: string
}

export interface LogPage {
  readonly events: readonly StoredEvent[]
  /** One for each event, when it was asked for and the engine has it: who passes events on need not write it again. */
  readonly json?: readonly EventJson[]
  /** Everything up to here was looked at: the `after` of the next page, even when the filter let nothing through. */
  readonly position: bigint
}

export interface SubscribeOptions {
  readonly after: bigint
  readonly types?: readonly string[]
  /** Events per page at most; memory is bounded by two pages. */
  readonly pageSize?: number
  /** Whether pages should have their `json`. */
  readonly withJson?: boolean
  readonly signal: AbortSignal
}

/**
 * The append-only log. An append touches one stream, is atomic, and is idempotent by event id when it is repeated with
 * the same expected revision: it then returns the first result again. With `any`, the ids are looked for in the whole
 * stream. A repeat of which only a part is known is a conflict. Engine failures are thrown as `EngineUnavailable`;
 * everything expected is a value.
 */
export interface EventStore {
  /**
   * Appends one event or more.
   *
   * @throws AppendTooLarge, EngineUnavailable (whether it was written is then unknown: repeat it); RangeError for no
   * events, an id that is no uuid, data that JSON cannot express, a stream or type name that is empty or has control
   * characters
   */
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult>
  readStream(stream: string, options?: ReadStreamOptions): Promise<StreamSlice>
  /** The whole stream, as cheaply as the engine can give it. */
  readHistory(stream: string): Promise<StreamHistory>
  readAll(options: ReadAllOptions): Promise<LogPage>
  /**
   * Whether `readAll` may begin at any number as cheaply as at the position of an event. Where it may not, such a place is
   * searched from the beginning of the log.
   */
  readonly seeks: boolean
  /** Whether `readAll` can leave out streams that are not in a share, so that several readers each have a part to read. */
  readonly splits: boolean
  /**
   * Catch-up, then live, pulled by the consumer. Ends when the signal aborts; survives engine failures by itself.
   *
   * @throws LogWentBack when the log is found to be older than what was handed out
   */
  subscribe(options: SubscribeOptions): AsyncIterable<LogPage>
  /**
   * How many events of each stored name there are up to a position (inclusive), and after another one, default 0n. Reads
   * through that part of the log, more or less.
   */
  countTypes(upTo: bigint, after?: bigint): Promise<ReadonlyMap<string, bigint>>
  /** The position of the last event, 0n for an empty log. */
  head(): Promise<bigint>
  /** The last event, and where it lies; undefined for an empty log. */
  last(): Promise<Pick<StoredEvent, 'id' | 'stream' | 'revision' | 'position'> | undefined>
  /** The uuid that was made with the log. */
  identity(): Promise<string>
}
