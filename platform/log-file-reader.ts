import type { TSchema } from 'typebox'
import { validateFact } from '../schemas/codec.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { LogFileEvent, LogFileFooter, LogFileHeader } from '../schemas/log-file.ts'
import { validate } from '../schemas/validation.ts'
import { chainOf, LogTransferError, unlinked } from './log-file.ts'
import { type FileLine, linesOf } from './log-file-lines.ts'

export interface ReadLogFileOptions {
  /** Takes events whose names this code does not know. */
  readonly allowUnknown?: boolean
  /** Takes a file without its last line as far as its whole lines go. */
  readonly acceptTruncated?: boolean
}

export interface LinedEvent {
  readonly line: number
  readonly event: StoredEvent
  /** Length of the line: about what the event takes. */
  readonly size: number
}

/** An exported log that is being read. */
export interface LogFile {
  readonly header: LogFileHeader
  /** To be read once. Ends after the last line, when that is there. */
  readonly events: AsyncIterable<LinedEvent>
}

const notAnExport = (why: string): LogTransferError =>
  new LogTransferError('import-not-an-export', `This is no export of an Orderlog: ${why}.`)

const truncated = (why: string): LogTransferError =>
  new LogTransferError('import-truncated', `The file was cut off: ${why}.`)

const problemOf = (schema: TSchema, value: unknown): string | undefined => {
  const validation = validate(schema, value)
  if (validation.valid) return undefined
  const [problem] = validation.problems
  return `${problem?.path || 'it'} ${problem?.message ?? 'is not valid'}`
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isFooter = (value: unknown): value is LogFileFooter =>
  typeof value === 'object' && value !== null && 'end' in value && problemOf(LogFileFooter, value) === undefined

/** @throws LogTransferError unless the event is one that this code can read, and as its schema says */
const checkFact = (event: LogFileEvent, line: number, allowUnknown: boolean): void => {
  try {
    const validation = validateFact(event, () => `in line ${line}`)
    if (validation.valid) return
    const [problem] = validation.problems
    throw new LogTransferError(
      'import-line-invalid',
      `Line ${line}: the data of this "${event.type}" do not match their schema: ${problem?.path || 'they'} ${problem?.message}.`,
    )
  } catch (error) {
    if (!(error instanceof UndecodableEvent)) throw error
    if (allowUnknown) return
    throw new LogTransferError(
      'import-unknown-event',
      `Line ${line}: this version of Orderlog does not know "${event.type}" (--allow-unknown takes it all the same).`,
    )
  }
}

const toEvent = (value: LogFileEvent): StoredEvent => ({
  position: BigInt(value.position),
  stream: value.stream,
  revision: BigInt(value.revision),
  id: value.id,
  type: value.type,
  data: value.data,
  metadata: value.metadata,
  recordedAt: value.recordedAt,
})

/**
 * Reads an exported log line by line and checks each before it hands it out: that it is as it was written and where it
 * was written, its envelope, its data, and the order of positions.
 *
 * @throws LogTransferError
 */
export const readLogFile = async (
  chunks: AsyncIterable<Uint8Array>,
  { allowUnknown = false, acceptTruncated = false }: ReadLogFileOptions = {},
): Promise<LogFile> => {
  const lines = linesOf(chunks)
  let chain = ''

  /** The line's value when it follows the line before. */
  const follow = ({ text, whole }: FileLine): unknown => {
    const found = whole ? unlinked(text) : undefined
    if (!found || chainOf(chain, found.line) !== found.chain) return undefined
    chain = found.chain
    return parse(text)
  }

  const first = await lines.next()
  if (first.done) throw notAnExport('it is empty')
  const header = follow(first.value)
  const wrong = problemOf(LogFileHeader, header)
  if (wrong !== undefined) throw notAnExport(`its first line is not the header of one (${wrong})`)

  async function* events({ from, head }: LogFileHeader): AsyncGenerator<LinedEvent, void, undefined> {
    let last = BigInt(from)
    let count = 0
    let ended = false
    for await (const line of lines) {
      const { number, text, whole } = line
      if (ended) throw new LogTransferError('import-line-damaged', `Line ${number} comes after the last line.`)
      if (!whole) {
        if (acceptTruncated) return
        throw truncated(`line ${number} is not whole`)
      }
      const value = follow(line)
      if (value === undefined)
        throw new LogTransferError(
          'import-line-damaged',
          `Line ${number} is not as it was exported, or does not belong after line ${number - 1}.`,
        )
      if (isFooter(value)) {
        if (value.events !== count) throw truncated(`it says that it holds ${value.events} events and holds ${count}`)
        ended = true
        continue
      }
      const problem = problemOf(LogFileEvent, value)
      if (problem !== undefined) throw new LogTransferError('import-line-invalid', `Line ${number}: ${problem}.`)
      const stored = value as LogFileEvent
      const event = toEvent(stored)
      if (event.position <= last || event.position > BigInt(head))
        throw new LogTransferError(
          'import-out-of-order',
          `Line ${number}: position ${event.position} is not after ${last}, or beyond ${head}, the last of the export.`,
        )
      checkFact(stored, number, allowUnknown)
      last = event.position
      count += 1
      yield { line: number, event, size: text.length }
    }
    if (!ended && !acceptTruncated) throw truncated(`its last line is missing, after ${count} events`)
  }

  return { header: header as LogFileHeader, events: events(header as LogFileHeader) }
}
