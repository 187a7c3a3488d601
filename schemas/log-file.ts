import { type Static, Type } from 'typebox'
import { strict, Timestamp, Uuid } from './primitives.ts'

/** A place in a log as text: JSON numbers end at 2^53, and eighteen digits fit into 64 bits. */
const Place = Type.String({ pattern: '^(0|[1-9][0-9]{0,17})$' })
/** What begins with `$` is a server's own. */
const Name = Type.String({ minLength: 1, maxLength: 1_000, pattern: '^(?!\\$)[^\\u0000-\\u001f\\u007f]+$' })
const Chain = Type.String({ pattern: '^[0-9a-f]{32}$' })

/** The format of an exported log. A reader refuses every other number. */
export const logFileVersion = 1

/** The first line of an exported log. */
export const LogFileHeader = strict({
  orderlogExport: Type.Literal(logFileVersion),
  /** Identity of the log that was exported. */
  log: Uuid,
  /** The file holds what is after this position; 0 for a log from its beginning. */
  from: Place,
  /** The last position of the log when the export began: nothing after it is in the file. */
  head: Place,
  /** The event at `from`, by which a log is recognised that the file continues; null for a log from its beginning. */
  follows: Type.Union([Type.Null(), strict({ id: Uuid, stream: Name, revision: Place })]),
  chain: Chain,
})
export type LogFileHeader = Static<typeof LogFileHeader>

/** An event of an exported log: its envelope, data and metadata as they lie in the log. */
export const LogFileEvent = strict({
  position: Place,
  stream: Name,
  revision: Place,
  id: Uuid,
  type: Name,
  recordedAt: Timestamp,
  metadata: strict({
    commandId: Name,
    correlationId: Name,
    causationId: Name,
    actor: Name,
    traceparent: Type.Optional(Name),
  }),
  data: Type.Unknown(),
  chain: Chain,
})
export type LogFileEvent = Static<typeof LogFileEvent>

/** The last line of an exported log: without it the file was cut off. */
export const LogFileFooter = strict({
  end: Type.Literal(true),
  /** How many events the file holds. */
  events: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  chain: Chain,
})
export type LogFileFooter = Static<typeof LogFileFooter>
