import type { StoredEvent } from '../schemas/envelope.ts'
import { type EventStore, maxAppendBytes } from './event-store.ts'
import type { ImportedMetadata } from './eventstoredb-event-store-record.ts'
import { LogTransferError } from './log-file.ts'
import type { ImportTarget, Misfit } from './log-import.ts'

/** An append needs some for itself. */
const runBytes = maxAppendBytes / 2
const pageEvents = 256

interface Run {
  readonly first: number
  readonly events: StoredEvent[]
  bytes: number
}

/** Neighbours of one stream travel in one append. */
const runsOf = (events: readonly StoredEvent[]): Run[] => {
  const runs: Run[] = []
  for (const [index, event] of events.entries()) {
    const run = runs.at(-1)
    const last = run?.events.at(-1)
    const bytes = Buffer.byteLength(JSON.stringify(event.data))
    const joins = last?.stream === event.stream && last.revision + 1n === event.revision
    if (run && joins && run.bytes + bytes <= runBytes) {
      run.events.push(event)
      run.bytes += bytes
    } else runs.push({ first: index, events: [event], bytes })
  }
  return runs
}

/**
 * Writes batches of an import. An append touches one stream, and of appends that are under way together nobody promises
 * the order: so each waits for the one before, or a crash could leave a later event without an earlier one.
 *
 * Nothing keeps others from writing to the server; so every batch is read back, and one with a stranger in it is refused.
 *
 * @param head position of the last event
 */
export const createEventStoreDbImport = (store: EventStore, head: bigint): ImportTarget['write'] => {
  let last = head

  const append = async ({ first, events }: Run): Promise<Misfit | undefined> => {
    const [{ stream, revision } = { stream: '', revision: 0n }] = events
    const written = events.map(({ id, type, data, metadata, recordedAt }) => {
      const imported: ImportedMetadata = { ...metadata, recordedAt }
      return { id, type, data, metadata: imported }
    })
    const result = await store.append(stream, written, revision === 0n ? 'none' : revision - 1n)
    if (result.outcome === 'appended') return undefined
    return { index: first, continues: result.actual === 'none' ? 0n : result.actual + 1n }
  }

  const readBack = async (events: readonly StoredEvent[]): Promise<void> => {
    let index = 0
    while (index < events.length) {
      const page = await store.readAll({ after: last, limit: Math.min(pageEvents, events.length - index) })
      for (const { id, stream } of page.events) {
        if (events[index]?.id !== id)
          throw new LogTransferError(
            'import-log-differs',
            `Somebody else has written to the log during the import: event ${id} of ${stream} is none of the file.`,
          )
        index += 1
      }
      if (page.events.length === 0 && page.position === last)
        throw new LogTransferError('import-log-differs', `The log lost event ${events[index]?.id}, which it took.`)
      last = page.position
    }
  }

  return async (events) => {
    for (const run of runsOf(events)) {
      const misfit = await append(run)
      if (misfit) return misfit
    }
    await readBack(events)
    return undefined
  }
}
