import type { StoredEvent } from '../schemas/envelope.ts'
import { type LogFileHeader, logFileVersion } from '../schemas/log-file.ts'
import type { EventJson, EventStore } from './event-store.ts'
import { chainOf, LogTransferError, linked } from './log-file.ts'

/** Pages are bounded by bytes where the engine can, by this everywhere. */
const pageEvents = 256

type Log = Pick<EventStore, 'readAll' | 'head' | 'identity'>

const eventAt = async (log: Log, position: bigint): Promise<StoredEvent> => {
  const [event] = (await log.readAll({ after: position - 1n, limit: 1 })).events
  if (event?.position !== position)
    throw new LogTransferError('export-no-such-position', `The log has no event at position ${position}.`)
  return event
}

const followed = async (log: Log, after: bigint): Promise<LogFileHeader['follows']> => {
  if (after === 0n) return null
  const { id, stream, revision } = await eventAt(log, after)
  return { id, stream, revision: `${revision}` }
}

/** Data and metadata as the log holds them, where the engine can give them so. */
const lineOf = (event: StoredEvent, json: EventJson | undefined): string => {
  const { position, stream, revision, id, type, recordedAt } = event
  const envelope = JSON.stringify({ position: `${position}`, stream, revision: `${revision}`, id, type, recordedAt })
  const metadata = json?.metadata ?? JSON.stringify(event.metadata)
  return `${envelope.slice(0, -1)},"metadata":${metadata},"data":${json?.data ?? JSON.stringify(event.data)}}`
}

export interface LogExport {
  readonly events: number
  /** The last position that was exported. */
  readonly position: bigint
}

/**
 * The log as lines of JSON: a header, every event from one position to the head of this moment, a footer. One page is in
 * memory at a time, and the next is read when it is asked for.
 *
 * @param after events after this position; it must be that of an event, or 0
 * @throws LogTransferError, EngineUnavailable
 */
export async function* exportLog(
  log: Log,
  after: bigint,
  signal: AbortSignal,
): AsyncGenerator<string, LogExport, undefined> {
  const head = await log.head()
  const follows = await followed(log, after)
  let chain = ''
  const next = (line: string): string => {
    chain = chainOf(chain, line)
    return linked(line, chain)
  }
  const header = {
    orderlogExport: logFileVersion,
    log: await log.identity(),
    from: `${after}`,
    head: `${head}`,
    follows,
  }
  yield next(JSON.stringify(header))
  let count = 0
  let position = after
  while (position < head) {
    if (signal.aborted)
      throw new LogTransferError(
        'export-stopped',
        `The export was stopped after position ${position}: what was written has no last line, and --from ${position} goes on from there.`,
      )
    const page = await log.readAll({ after: position, limit: pageEvents, withJson: true, bulk: true })
    const events = page.events.filter((event) => event.position <= head)
    if (events.length > 0) yield events.map((event, index) => next(lineOf(event, page.json?.[index]))).join('')
    count += events.length
    if (page.position <= position) throw new Error(`the log ends at ${position}, before its head ${head}`)
    position = page.position
  }
  yield next(JSON.stringify({ end: true, events: count }))
  return { events: count, position: position < head ? position : head }
}
