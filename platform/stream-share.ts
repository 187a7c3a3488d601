/** A part of all streams: number `index`, from 0, of `of`. */
export interface StreamShare {
  readonly index: number
  readonly of: number
}

const rotated = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

// Nearly every name is ASCII, whose code units are its bytes.
const beyondAscii = /[^\0-\x7f]/

/** A byte of a text of which every code unit is one; 0 after its end. */
const byteAt = (bytes: string, at: number): number => (at < bytes.length ? bytes.charCodeAt(at) : 0)

const wordAt = (bytes: string, at: number): number =>
  byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24)

/**
 * Bob Jenkins's lookup3 as PostgreSQL has it, in `hashtext`: that its server can leave out the streams of others, at next to
 * no cost. 32 bits, signed.
 *
 * Source: src/common/hashfn.c of PostgreSQL, `hash_bytes`.
 */
export const hashText = (text: string): number => {
  const bytes = beyondAscii.test(text) ? Buffer.from(text).toString('latin1') : text
  const { length } = bytes
  let a = (0x9e3779b9 + length + 3_923_095) | 0
  let b = a
  let c = a
  let at = 0
  for (; length - at >= 12; at += 12) {
    a = (a + wordAt(bytes, at)) | 0
    b = (b + wordAt(bytes, at + 4)) | 0
    c = (c + wordAt(bytes, at + 8)) | 0
    a = ((a - c) | 0) ^ rotated(c, 4)
    c = (c + b) | 0
    b = ((b - a) | 0) ^ rotated(a, 6)
    a = (a + c) | 0
    c = ((c - b) | 0) ^ rotated(b, 8)
    b = (b + a) | 0
    a = ((a - c) | 0) ^ rotated(c, 16)
    c = (c + b) | 0
    b = ((b - a) | 0) ^ rotated(a, 19)
    a = (a + c) | 0
    c = ((c - b) | 0) ^ rotated(b, 4)
    b = (b + a) | 0
  }
  // Of what is left, the lowest byte of c is that of the length.
  a = (a + wordAt(bytes, at)) | 0
  b = (b + wordAt(bytes, at + 4)) | 0
  c = (c + (wordAt(bytes, at + 8) << 8)) | 0
  c = ((c ^ b) - rotated(b, 14)) | 0
  a = ((a ^ c) - rotated(c, 11)) | 0
  b = ((b ^ a) - rotated(a, 25)) | 0
  c = ((c ^ b) - rotated(b, 16)) | 0
  a = ((a ^ c) - rotated(c, 4)) | 0
  b = ((b ^ a) - rotated(a, 14)) | 0
  return ((c ^ b) - rotated(b, 24)) | 0
}

/** The share that a stream is in, when there are so many. */
export const shareOf = (stream: string, shares: number): number =>
  shares === 1 ? 0 : (hashText(stream) & 0x7fffffff) % shares

/**
 * SQL: whether the stream in the column `stream` is in a share; the same as `shareOf` in a database in UTF-8. To the planner a
 * comparison alone would seem to let one in two hundred through, and it would sort and fetch in parallel what it can read in
 * order: of `coalesce` it takes that half of it is true.
 */
export const ofShare = ({ index, of }: StreamShare): string =>
  `coalesce((hashtext(stream) & 2147483647) % ${of} = ${index}, false)`
