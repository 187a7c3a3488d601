import { isAscii } from 'node:buffer'

/** How many columns of each kind rows have, in this order; the last is JSON, and none is null. */
export interface RowShape {
  /** `bigint` */
  readonly integers: number
  /** `text` */
  readonly texts: number
  /** `json` */
  readonly documents: number
}

/** Rows, one after the other: row r has `integers` from r times as many on, and so its values. */
export interface CopiedRows {
  readonly count: number
  readonly integers: readonly bigint[]
  /** Its texts, and then what its JSON says. */
  readonly values: readonly unknown[]
  /** Of every document, as it was sent; empty unless they were asked for. */
  readonly documents: readonly string[]
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const headerBytes = signature.length + 8
const space = 0x20
const quote = 0x22
const comma = 0x2c
const opening = 0x5b
const backslash = 0x5c
const closing = 0x5d
const word = 0x1_0000_0000
/** Revisions are small, and most of them the same few. */
const small = Array.from({ length: 256 }, (_, value) => BigInt(value))

const int32At = (bytes: Buffer, at: number): number =>
  ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)

const int64At = (bytes: Buffer, at: number): bigint => {
  const high = int32At(bytes, at)
  const low = int32At(bytes, at + 4) >>> 0
  const value = high * word + low
  return (
    (high === 0 ? small[low] : undefined) ?? (Number.isSafeInteger(value) ? BigInt(value) : bytes.readBigInt64BE(at))
  )
}

const blank = (bytes: Buffer, from: number, to: number): void => {
  for (let at = from; at < to; at += 1) bytes[at] = space
}

/** Of the field that begins there, bytes. */
const lengthAt = (bytes: Buffer, at: number): number => {
  const length = at + 4 > bytes.length ? -1 : int32At(bytes, at)
  if (length < 0 || at + 4 + length > bytes.length) throw new Error('what COPY sent ends within a row, or has a null')
  return length
}

/** Whether bytes are between quotes what they are without. */
const isPlain = (bytes: Buffer, from: number, to: number): boolean => {
  for (let at = from; at < to; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte < space || byte === quote || byte === backslash) return false
  }
  return true
}

/**
 * The rows of what `COPY ... TO STDOUT (FORMAT BINARY)` sends. Of everything between texts and documents, in place, is made
 * what JSON has between them, and all of it is parsed at once: a field at a time costs more, and a string that was cut out of
 * the page would hold on to all of it (documents as they were sent do).
 *
 * Source: the documentation of PostgreSQL, COPY, "Binary Format".
 *
 * @param sent whole rows, with the end of a COPY after them or without; written over
 * @param asSent whether documents are wanted as they were sent, too
 * @throws Error when it is anything else
 */
export const copiedRows = (sent: Buffer, shape: RowShape, asSent = false): CopiedRows => {
  const columns = shape.integers + shape.texts + shape.documents
  const integers: bigint[] = []
  /** Where documents begin and end. */
  const places: number[] = []
  /** Texts that need escapes, by their place among the values. */
  const odd = new Map<number, string>()
  const perRow = shape.texts + shape.documents
  if (!sent.subarray(0, signature.length).equals(signature)) throw new Error('what COPY sent is not in binary format')
  // The server has no extension of the header.
  blank(sent, 0, headerBytes)
  sent[headerBytes - 1] = opening
  let count = 0
  let at = headerBytes
  for (; at < sent.length; count += 1) {
    const fields = ((sent[at] ?? 0) << 8) | (sent[at + 1] ?? 0)
    if (fields === 0xffff) break
    if (fields !== columns) throw new Error(`what COPY sent has rows of ${fields} columns`)
    /** From where on is no value yet. */
    let from = at
    at += 2
    for (let column = 0; column < shape.integers; column += 1) {
      if (lengthAt(sent, at) !== 8) throw new Error('what COPY sent has no integer of 8 bytes where one should be')
      integers.push(int64At(sent, at + 4))
      at += 12
    }
    for (let value = 0; value < perRow; value += 1) {
      const begin = at + 4
      const end = begin + lengthAt(sent, at)
      // The length of the value lies there, and before the first one more: room for `",` and `"`. A row ends with a document.
      blank(sent, from, begin)
      if (value > 0 && value <= shape.texts) sent[from] = quote
      if (count > 0 || value > 0) sent[from + 1] = comma
      if (value < shape.texts) {
        sent[begin - 1] = quote
        if (!isPlain(sent, begin, end)) {
          odd.set(count * perRow + value, sent.toString('utf8', begin, end))
          blank(sent, begin, end)
        }
      } else if (asSent) places.push(begin, end)
      from = end
      at = end
    }
  }
  const isOver = at < sent.length
  const json = isOver ? sent : Buffer.concat([sent, Buffer.of(closing)])
  if (isOver) {
    json[at] = closing
    blank(json, at + 1, json.length)
  }
  // Most of a log is ASCII, of which a string is made by copying it.
  const plain = isAscii(json)
  const text = json.toString(plain ? 'latin1' : 'utf8')
  const values = JSON.parse(text) as unknown[]
  for (const [index, value] of odd) values[index] = value
  if (values.length !== count * perRow) throw new Error('what COPY sent is torn')
  const documents: string[] = []
  for (let place = 0; place < places.length; place += 2) {
    const [begin, end] = [places[place], places[place + 1]]
    documents.push(plain ? text.slice(begin, end) : json.toString('utf8', begin, end))
  }
  return { count, integers, values, documents }
}
