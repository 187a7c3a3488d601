import type { Submittable } from 'pg'

type Connection = Parameters<Submittable['submit']>[0]
type OnBytes = (bytes: Buffer) => void
/** @param ended how much of it belongs to rows that end in it */
type OnData = (data: Buffer, ended: number) => 'more' | 'enough'

/** Kinds of messages: data of a COPY, and the last one of every answer. */
const copyData = 0x64
const readyForQuery = 0x5a
const headerBytes = 5

/**
 * Picks the data of a COPY out of what a server sends, in chunks that end anywhere, also within a header.
 *
 * @param onOther told the bytes of all other messages, in order
 */
export const createDataPicker = (onOther: OnBytes) => {
  const header = Buffer.alloc(headerBytes)
  let headed = 0
  let isData = false
  /** What is still to come of the present message. */
  let left = 0

  /**
   * @returns the data in a chunk, which is moved to its beginning, how much of it belongs to rows that end in it, and from
   * where the answer ends, what is left of it
   */
  return (chunk: Buffer): { readonly data: Buffer; readonly ended: number; readonly end?: Buffer } => {
    let kept = 0
    let ended = 0
    for (let at = 0; at < chunk.length; ) {
      if (left === 0) {
        while (headed < headerBytes && at < chunk.length) {
          header[headed] = chunk[at] ?? 0
          headed += 1
          at += 1
        }
        if (headed < headerBytes) break
        headed = 0
        left = header.readUInt32BE(1) - 4
        isData = header[0] === copyData
        if (header[0] === readyForQuery)
          return { data: chunk.subarray(0, kept), ended, end: Buffer.concat([header, chunk.subarray(at)]) }
        if (!isData) onOther(Buffer.from(header))
      }
      const to = Math.min(at + left, chunk.length)
      if (isData) {
        chunk.copyWithin(kept, at, to)
        kept += to - at
      } else if (to > at) onOther(chunk.subarray(at, to))
      left -= to - at
      at = to
      // The server sends one message per row, in the first of which a binary header goes before it.
      if (isData && left === 0) ended = kept
    }
    return { data: chunk.subarray(0, kept), ended }
  }
}

/**
 * A `COPY ... TO STDOUT` as a query of pg. Its data goes past pg, which would make an object of every row, at more than all
 * that is done with them here costs; what else the server says is for pg, as ever.
 */
export class CopyOutQuery implements Submittable {
  private readonly statement: string
  private readonly onData: OnData
  private readonly onOutcome: (error?: Error) => void

  /**
   * @param onData told data in pieces that end anywhere; after enough, the connection is of no use any more
   * @param onOutcome told when everything has been received, or what has gone wrong
   */
  constructor(statement: string, onData: OnData, onOutcome: (error?: Error) => void) {
    this.statement = statement
    this.onData = onData
    this.onOutcome = onOutcome
  }

  submit(connection: Connection): void {
    const { stream } = connection
    const [toPg] = stream.listeners('data') as OnBytes[]
    if (!toPg) throw new Error('nobody listens on this connection')
    const pick = createDataPicker(toPg)
    const onChunk = (chunk: Buffer): void => {
      const { data, ended, end } = pick(chunk)
      if (data.length > 0 && this.onData(data, ended) === 'enough') {
        stream.off('data', onChunk).pause()
        return
      }
      if (!end) return
      stream.on('data', toPg).off('data', onChunk)
      toPg(end)
    }
    stream.on('data', onChunk).off('data', toPg)
    connection.query(this.statement)
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.onOutcome()
  }

  handleError(error: Error): void {
    this.onOutcome(error)
  }
}
