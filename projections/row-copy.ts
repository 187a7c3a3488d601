import { setImmediate as breathe } from 'node:timers/promises'

/** What `COPY ... FROM STDIN (FORMAT BINARY)` reads, of the types that read models have: PostgreSQL need not parse it. */

const noBytes = -1
/** Up to so many characters, to call Buffer costs more than to write them one by one. */
const shortText = 48
const textOid = 25

/** Bytes on their way, in one piece that grows. A class: what is compiled for one of them is good for the next. */
class Bytes {
  private bytes = Buffer.allocUnsafe(65_536)
  private end = 0

  private room(more: number): void {
    if (this.end + more <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(2 * (this.end + more))
    this.bytes.copy(larger, 0, 0, this.end)
    this.bytes = larger
  }

  /** Without room being made. */
  private put32(value: number): void {
    const { bytes, end } = this
    bytes[end] = value >>> 24
    bytes[end + 1] = value >>> 16
    bytes[end + 2] = value >>> 8
    bytes[end + 3] = value
    this.end = end + 4
  }

  raw(given: Uint8Array): void {
    this.room(given.length)
    this.bytes.set(given, this.end)
    this.end += given.length
  }

  int16(value: number): void {
    this.room(2)
    this.byte(value >>> 8)
    this.byte(value)
  }

  int32(value: number): void {
    this.room(4)
    this.put32(value)
  }

  /** As a field: how long it is, and then in UTF-8. */
  text(text: string): void {
    const { length } = text
    this.room(4 + 3 * length)
    const isWritten = length <= shortText && this.ascii(text)
    const written = isWritten ? length : this.bytes.write(text, this.end + 4)
    this.put32(written)
    this.end += written
  }

  /** Puts a text where the next field will have its bytes; false when it is not ASCII. */
  private ascii(text: string): boolean {
    const { bytes } = this
    const begin = this.end + 4
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index)
      if (code > 0x7f) return false
      bytes[begin + index] = code
    }
    return true
  }

  /** As a field. @param high the upper 32 bits, signed @param low the lower ones */
  int64(high: number, low: number): void {
    this.room(12)
    this.put32(8)
    this.put32(high)
    this.put32(low)
  }

  /** As a field of so many bytes, which are put one by one. */
  field(count: number): void {
    this.room(4 + count)
    this.put32(count)
  }

  /** Without room being made. */
  byte(value: number): void {
    this.bytes[this.end] = value
    this.end += 1
  }

  length(): number {
    return this.end
  }

  /** Says at a place, which was left free, how many bytes have followed it. */
  fill(place: number): void {
    this.bytes.writeInt32BE(this.end - place - 4, place)
  }

  /** What comes after is dropped. */
  backTo(place: number): void {
    this.end = place
  }

  take(): Buffer {
    const taken = this.bytes.subarray(0, this.end)
    // They are much alike.
    this.bytes = Buffer.allocUnsafe(Math.max(1_024, this.end + (this.end >>> 2)))
    this.end = 0
    return taken
  }
}

/** Writes a value that is not null as a field; false when the server had better be asked what to make of it. */
type Write = (bytes: Bytes, value: unknown) => boolean

/** Half a character would become another one on the way. */
const isText = (value: unknown): value is string => typeof value === 'string' && value.isWellFormed()

const writeText: Write = (bytes, value) => {
  if (!isText(value)) return false
  bytes.text(value)
  return true
}

/** The value of a hexadecimal digit by its code; 16 for everything else. */
const digits = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(digit) ? 16 : digit
})
const uuidLength = 36

const writeUuid: Write = (bytes, value) => {
  if (typeof value !== 'string' || value.length !== uuidLength) return false
  bytes.field(16)
  for (let at = 0; at < uuidLength; at += 2) {
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (value.charCodeAt(at) !== 0x2d) return false
      at += 1
    }
    const high = digits[value.charCodeAt(at)] ?? 16
    const low = digits[value.charCodeAt(at + 1)] ?? 16
    if (high > 15 || low > 15) return false
    bytes.byte((high << 4) | low)
  }
  return true
}

const writeInteger: Write = (bytes, value) => {
  if (typeof value !== 'number' || value !== (value | 0)) return false
  bytes.field(4)
  bytes.byte(value >>> 24)
  bytes.byte(value >>> 16)
  bytes.byte(value >>> 8)
  bytes.byte(value)
  return true
}

const word = 0x1_0000_0000
const writeSafe = (bytes: Bytes, value: number): boolean => {
  if (!Number.isSafeInteger(value)) return false
  const high = Math.floor(value / word)
  bytes.int64(high, value - high * word)
  return true
}
const writeBigint: Write = (bytes, value) => {
  if (typeof value === 'number') return writeSafe(bytes, value)
  if (typeof value === 'string' && /^-?\d{1,15}$/.test(value)) return writeSafe(bytes, Number(value))
  return typeof value === 'bigint' && writeSafe(bytes, Number(value))
}

const daysOf = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
const epoch = Date.UTC(2000, 0, 1)
/** A number of two digits; NaN for everything else. */
const two = (text: string, at: number): number => {
  const [high, low] = [text.charCodeAt(at) - 48, text.charCodeAt(at + 1) - 48]
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? 10 * high + low : Number.NaN
}
const placeOfFraction = 19

/** Microseconds since 2000 of an instant in UTC, ISO 8601 to the microsecond; undefined for everything else. */
const microsOf = (text: string): number | undefined => {
  const last = text.length - 1
  if (text[4] !== '-' || text[7] !== '-' || text[10] !== 'T' || text[13] !== ':' || text[16] !== ':') return undefined
  if (
    text[last] !== 'Z' ||
    (last !== placeOfFraction && (text[placeOfFraction] !== '.' || last === placeOfFraction + 1))
  )
    return undefined
  const [year, month, day] = [100 * two(text, 0) + two(text, 2), two(text, 5), two(text, 8)]
  const [hour, minute, second] = [two(text, 11), two(text, 14), two(text, 17)]
  const days = month === 2 && isLeap(year) ? 29 : (daysOf[month - 1] ?? 0)
  // Years of two digits mean other ones to Date.
  if (!(year >= 100 && day >= 1 && day <= days && hour <= 23 && minute <= 59 && second <= 59)) return undefined
  let micros = 0
  let unit = 100_000
  for (let at = placeOfFraction + 1; at < last; at += 1) {
    const digit = text.charCodeAt(at) - 48
    // Beyond microseconds the server rounds.
    if (digit < 0 || digit > 9 || unit < 1) return undefined
    micros += digit * unit
    unit /= 10
  }
  return (Date.UTC(year, month - 1, day, hour, minute, second) - epoch) * 1_000 + micros
}

let lastInstant: string | undefined
let lastMicros = 0
const writeInstant: Write = (bytes, value) => {
  if (typeof value !== 'string') return false
  // What happened together has one time, and a row often has the time of the one before it.
  if (value !== lastInstant) {
    const micros = microsOf(value)
    if (micros === undefined) return false
    lastInstant = value
    lastMicros = micros
  }
  return writeSafe(bytes, lastMicros)
}

const writeJson: Write = (bytes, value) => {
  bytes.text(JSON.stringify(value))
  return true
}

const writeTexts: Write = (bytes, value) => {
  if (!Array.isArray(value) || !value.every(isText)) return false
  const elements: readonly string[] = value
  const begin = bytes.length()
  bytes.int32(0)
  bytes.int32(elements.length === 0 ? 0 : 1)
  bytes.int32(0)
  bytes.int32(textOid)
  if (elements.length > 0) {
    bytes.int32(elements.length)
    bytes.int32(1)
    for (const element of elements) bytes.text(element)
  }
  bytes.fill(begin)
  return true
}

const writes: Readonly<Record<string, Write>> = {
  uuid: writeUuid,
  text: writeText,
  'text[]': writeTexts,
  integer: writeInteger,
  bigint: writeBigint,
  timestamptz: writeInstant,
  json: writeJson,
}
const writeOf = (type: string): Write => {
  const write = writes[type]
  if (!write) throw new Error(`nobody has said how ${type} is copied`)
  return write
}

type Row = Readonly<Record<string, unknown>>

/** Puts a row into bytes; false, and nothing is put, when the server has to be asked about one of its values. */
export type WriteRow = (bytes: Bytes, row: object, others?: readonly bigint[]) => boolean

/** Writes the values that rows have in these columns, and other numbers (`bigint`) that follow them. */
export const rowWriter = (columns: readonly (readonly [name: string, type: string])[]): WriteRow => {
  const writers = columns.map(([name, type]) => ({ name, write: writeOf(type) }))
  return (bytes, row, others = []) => {
    const begin = bytes.length()
    bytes.int16(writers.length + others.length)
    for (const { name, write } of writers) {
      const value = (row as Row)[name]
      if (value === null || value === undefined) bytes.int32(noBytes)
      else if (!write(bytes, value)) {
        bytes.backTo(begin)
        return false
      }
    }
    for (const other of others)
      if (!writeBigint(bytes, other)) {
        bytes.backTo(begin)
        return false
      }
    return true
  }
}

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
/** Rows of one piece: what else the process has to do goes between them. */
const rowsPerPiece = 250

/** Many rows in pieces, put into bytes as they are asked for. Those that `write` refuses are left out, and up to it. */
export async function* copyRows<Each>(
  rows: readonly Each[],
  write: (bytes: Bytes, row: Each) => boolean,
  refused: (row: Each) => void,
): AsyncGenerator<Buffer> {
  const bytes = new Bytes()
  bytes.raw(header)
  for (let index = 0; index < rows.length; index += rowsPerPiece) {
    if (index > 0) await breathe()
    for (const row of rows.slice(index, index + rowsPerPiece)) if (!write(bytes, row)) refused(row)
    yield bytes.take()
  }
  bytes.int16(-1)
  yield bytes.take()
}
