import { LogTransferError } from './log-file.ts'

/** An append may take 1 MiB, and so may an event; names and punctuation come on top. */
const maxLineBytes = 2_097_152

/** A line without its line break; the last one of a file that was cut off may not be whole. */
export interface FileLine {
  /** From 1. */
  readonly number: number
  readonly text: string
  readonly whole: boolean
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const toText = (bytes: Uint8Array, number: number, whole: boolean): FileLine => {
  try {
    return { number, text: decoder.decode(bytes), whole }
  } catch (cause) {
    // A cut may fall into the middle of a character.
    if (!whole) return { number, text: '', whole }
    throw new LogTransferError('import-line-damaged', `Line ${number} is not UTF-8.`, { cause })
  }
}

/**
 * The lines of a file, pulled chunk by chunk: one chunk and one line are in memory at a time.
 *
 * @throws LogTransferError for a line that is too long to be an event, or no UTF-8
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<FileLine, void, undefined> {
  let number = 1
  let parts: Uint8Array[] = []
  let held = 0
  const add = (part: Uint8Array): void => {
    held += part.length
    if (held > maxLineBytes)
      throw new LogTransferError('import-line-damaged', `Line ${number} is longer than ${maxLineBytes} bytes.`)
    if (part.length > 0) parts.push(part)
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      add(chunk.subarray(from, end))
      yield toText(Buffer.concat(parts), number, true)
      parts = []
      held = 0
      number += 1
      from = end + 1
    }
    add(chunk.subarray(from))
  }
  if (held > 0) yield toText(Buffer.concat(parts), number, false)
}
