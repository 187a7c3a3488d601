import type { NewEvent } from '../schemas/envelope.ts'
import { AppendTooLarge, type ExpectedRevision, maxAppendBytes } from './event-store.ts'

/** An event on its way into a log: its data and metadata already in JSON, without a line break. */
export interface ProposedEvent {
  readonly id: string
  readonly type: string
  readonly data: string
  readonly metadata: string
}

export interface ProposedAppend {
  readonly stream: string
  readonly events: readonly ProposedEvent[]
  readonly expected: ExpectedRevision
  /** What counts against `maxAppendBytes`. */
  readonly bytes: number
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const controlCharacters = /[\u0000-\u001f\u007f]/

const named = (kind: string, name: string): string => {
  if (name === '' || controlCharacters.test(name)) throw new RangeError(`${JSON.stringify(name)} cannot name a ${kind}`)
  return name
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const identified = (id: string): string => {
  if (!uuid.test(id)) throw new RangeError(`${JSON.stringify(id)} is no uuid`)
  return id
}

const toJson = (value: unknown): string => {
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw new RangeError('data and metadata of an event must be expressible in JSON')
  return json
}

const proposed = (event: NewEvent): ProposedEvent => ({
  id: identified(event.id),
  type: named('type', event.type),
  data: toJson(event.data),
  metadata: toJson(event.metadata),
})

const bytesOf = (event: ProposedEvent): number =>
  Buffer.byteLength(event.data) + Buffer.byteLength(event.metadata) + 2 * event.type.length

/**
 * Checks and serialises an append; the same rules for every adapter of the event store.
 *
 * @throws RangeError, AppendTooLarge as `EventStore.append` says
 */
export const proposeAppend = (
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): ProposedAppend => {
  if (events.length === 0) throw new RangeError(`an append to ${stream} needs at least one event`)
  named('stream', stream)
  if (typeof expected === 'bigint' && expected < 0n) throw new RangeError(`${expected} is no revision`)
  const serialised = events.map(proposed)
  const bytes = serialised.reduce((sum, event) => sum + bytesOf(event), 0)
  if (bytes > maxAppendBytes) throw new AppendTooLarge(stream, bytes)
  return { stream, events: serialised, expected, bytes }
}
