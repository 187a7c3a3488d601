import { isDeepStrictEqual } from 'node:util'
import type { StoredEvent } from '../schemas/envelope.ts'
import type { LogFileHeader } from '../schemas/log-file.ts'
import { AppendTooLarge, type EventStore } from './event-store.ts'
import { LogTransferError } from './log-file.ts'
import type { LinedEvent, LogFile } from './log-file-reader.ts'

/** An event that does not continue its stream: its place in the batch, from 0, and the revision that would. */
export interface Misfit {
  readonly index: number
  readonly continues: bigint
}

/** The log that is written to. While it is imported into, nobody else writes to it. */
export interface ImportTarget extends Pick<EventStore, 'readAll' | 'readStream'> {
  /** Called before the first batch. @throws LogTransferError when the log is not ours alone */
  begin(): Promise<void>
  /**
   * Writes the next events of the log, in this order, each under its own id, revision and time.
   *
   * @returns the first that does not fit; what was before it may have been written
   * @throws EngineUnavailable; what was written then is a beginning of the batch
   */
  write(events: readonly StoredEvent[]): Promise<Misfit | undefined>
  /** The file has come to its end. */
  finish(): Promise<void>
}

export interface LogImport {
  readonly imported: number
  /** Events that the log held before. */
  readonly known: number
}

const batchEvents = 1_000
/** Of lines. */
const batchBytes = 4_194_304
const pageEvents = 256

/** Everything but the position: another log may count otherwise. */
const samePlace = (one: StoredEvent, { position: _, ...other }: StoredEvent): boolean => {
  const { position, ...rest } = one
  return isDeepStrictEqual(rest, other)
}

const startOf = async (target: ImportTarget, { follows, from }: LogFileHeader): Promise<bigint> => {
  if (!follows) return 0n
  const revision = BigInt(follows.revision)
  const { events } = await target.readStream(follows.stream, { from: revision, limit: 1 })
  if (events[0]?.id === follows.id && events[0].revision === revision) return events[0].position
  throw new LogTransferError(
    'import-log-differs',
    `The file goes on after event ${follows.id} (${follows.stream}@${follows.revision}, position ${from} there), which this log does not hold.`,
  )
}

/** The events of a log after a position, one page in memory at a time. */
async function* eventsOf(target: ImportTarget, start: bigint): AsyncGenerator<StoredEvent, void, undefined> {
  for (let after = start; ; ) {
    const { events, position } = await target.readAll({ after, limit: pageEvents })
    yield* events
    if (events.length === 0 && position === after) return
    after = position
  }
}

const written = async (target: ImportTarget, batch: readonly LinedEvent[]): Promise<Misfit | undefined> => {
  try {
    return await target.write(batch.map(({ event }) => event))
  } catch (cause) {
    // What no log takes, and therefore no export of one holds.
    if (!(cause instanceof AppendTooLarge || cause instanceof RangeError)) throw cause
    const lines = `Lines ${batch[0]?.line} to ${batch.at(-1)?.line}`
    throw new LogTransferError('import-line-invalid', `${lines}: one is refused, ${cause.message}.`, { cause })
  }
}

/**
 * Writes an exported log where it belongs: into an empty log, or after the last event of one that the file continues.
 * What the log holds already is compared and not written again, so that an import that was interrupted goes on.
 *
 * @param options.onProgress told after every batch
 * @throws LogTransferError, EngineUnavailable; whole batches before the error stay written
 */
export const importLog = async (
  file: LogFile,
  target: ImportTarget,
  options: { readonly signal: AbortSignal; readonly onProgress?: (progress: LogImport) => void },
): Promise<LogImport> => {
  const known = eventsOf(target, await startOf(target, file.header))
  let knownCount = 0
  let imported = 0
  let writing = false
  let batch: LinedEvent[] = []
  let bytes = 0

  const flush = async (): Promise<void> => {
    if (batch.length === 0) return
    const misfit = await written(target, batch)
    const odd = misfit && batch[misfit.index]
    if (odd)
      throw new LogTransferError(
        'import-out-of-order',
        `Line ${odd.line}: revision ${odd.event.revision} does not continue ${odd.event.stream}, which goes on with ${misfit.continues}.`,
      )
    imported += batch.length
    batch = []
    bytes = 0
    options.onProgress?.({ imported, known: knownCount })
  }

  /** Whether the log holds the event at this place; false once it has come to its end. */
  const holds = async ({ line, event }: LinedEvent): Promise<boolean> => {
    const { value, done } = await known.next()
    if (done) return false
    if (!samePlace(value, event))
      throw new LogTransferError(
        'import-log-differs',
        `Line ${line}: the log holds event ${value.id} (${value.stream}@${value.revision}) where the file has ${event.id} (${event.stream}@${event.revision}); an import begins a log or continues it.`,
      )
    knownCount += 1
    return true
  }

  for await (const lined of file.events) {
    if (options.signal.aborted)
      throw new LogTransferError(
        'import-stopped',
        `The import was stopped after ${imported} events: run it again, and it goes on.`,
      )
    if (!writing) {
      if (await holds(lined)) continue
      await target.begin()
      writing = true
    }
    if (batch.length >= batchEvents || (batch.length > 0 && bytes + lined.size > batchBytes)) await flush()
    batch.push(lined)
    bytes += lined.size
  }
  await flush()
  // A file that ends before the log says nothing about the rest of it, which may be of an import that is not finished.
  if (writing || (await known.next()).done) await target.finish()
  return { imported, known: knownCount }
}
