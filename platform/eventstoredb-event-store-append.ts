import type { NewEvent } from '../schemas/envelope.ts'
import type { AppendResult, EventStore } from './event-store.ts'
import { type AppendLine, openAppendLine } from './eventstoredb-event-store-append-line.ts'
import { type EventStoreDbClient, followingLeader } from './eventstoredb-event-store-client.ts'
import { identityStream } from './eventstoredb-event-store-record.ts'
import { type ProposedAppend, proposeAppend } from './proposed-append.ts'

type Append = EventStore['append']

/** Names of a server's own streams and events begin so; the log is read without them. */
const systemPrefix = '$'

/** Sends an append that has been checked. */
export type SendAppend = (append: ProposedAppend) => ReturnType<Append>

/** Concurrent appends of the process share one line; a line that has had trouble is replaced. */
export const createSendAppend = (client: EventStoreDbClient, deadlineMs: number): SendAppend => {
  let current: AppendLine | undefined
  return (append) =>
    followingLeader(() => {
      if (!current?.isUsable()) current = openAppendLine(client.openBatchAppend, deadlineMs)
      return current.send(append)
    })
}

/**
 * The server recognises a repeat by its ids where a revision is expected. Where none is, it remembers only what it has
 * written lately: there the stream itself is asked first.
 */
export const createAppend = (send: SendAppend, readStream: EventStore['readStream']): Append => {
  /** The first result when all of it is known, a conflict when a part is, undefined when nothing is. */
  const repeatOf = async (stream: string, events: readonly NewEvent[]): Promise<AppendResult | undefined> => {
    const { revision, events: stored } = await readStream(stream)
    const ids = new Set(events.map(({ id }) => id.toLowerCase()))
    const found = stored.filter(({ id }) => ids.has(id))
    const last = found.at(-1)
    if (!last) return undefined
    return found.length === events.length
      ? { outcome: 'appended', revision: last.revision, position: last.position }
      : { outcome: 'conflict', expected: 'any', actual: revision }
  }

  return async (stream, events, expected) => {
    const append = proposeAppend(stream, events, expected)
    if (stream.startsWith(systemPrefix) || stream === identityStream)
      throw new RangeError(`${JSON.stringify(stream)} is the name of a stream of the server's own`)
    for (const { type } of events)
      if (type.startsWith(systemPrefix))
        throw new RangeError(`${JSON.stringify(type)} is the name of an event of the server's own`)
    const repeat = expected === 'any' ? await repeatOf(stream, events) : undefined
    return repeat ?? send(append)
  }
}
