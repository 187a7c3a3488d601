import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'

/** What a broker answers to the first words of a client, which need no user and tell nothing secret. */
export interface Greeting {
  /** By key of the request: which of its versions the broker understands. */
  readonly understands: ReadonlyMap<number, { readonly oldest: number; readonly newest: number }>
  /** How it wants to be shown a password: `PLAIN`; none: not at all; undefined: it did not say. */
  readonly mechanisms: readonly string[] | undefined
}

export type Greeted =
  | ({ readonly answer: 'kafka' } & Greeting)
  /** It speaks TLS where clear text was expected. */
  | { readonly answer: 'tls' }
  /** Something that is neither Kafka nor TLS. */
  | { readonly answer: 'other' }
  /** @param connected it took the connection, and then closed it or said nothing */
  | { readonly answer: 'none'; readonly connected: boolean; readonly error: Error }

/** How to speak: in clear text, or over TLS. */
export type Encryption = 'none' | { readonly ca: string | undefined }

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.concat([int16(value.length), Buffer.from(value, 'latin1')])

/** A request, framed; its correlation id is the key. */
const request = (key: number, version: number, body: Buffer): Buffer => {
  const bytes = Buffer.concat([int16(key), int16(version), int32(key), text('orderlog'), body])
  return Buffer.concat([int32(bytes.length), bytes])
}

const apiVersions = 18
const saslHandshake = 17
/** A listener without SASL calls this handshake out of place; one with SASL tells its mechanisms. */
const outOfPlace = 34
const words = Buffer.concat([request(apiVersions, 0, Buffer.alloc(0)), request(saslHandshake, 1, text('PLAIN'))])

/** The content of the answer to a request that begins at `from`; undefined while it is not there. */
const answerAt = (bytes: Buffer, from: number, key: number): Buffer | 'foreign' | undefined => {
  if (bytes.length < from + 8) return undefined
  const length = bytes.readInt32BE(from)
  if (length < 6 || length > 1_048_576 || bytes.readInt32BE(from + 4) !== key) return 'foreign'
  return bytes.length < from + 4 + length ? undefined : bytes.subarray(from + 8, from + 4 + length)
}

const readVersions = (answer: Buffer): Greeting['understands'] => {
  const count = answer.readInt32BE(2)
  const at = (index: number) => 6 + index * 6
  return new Map(
    Array.from({ length: count }, (_, index) => [
      answer.readInt16BE(at(index)),
      { oldest: answer.readInt16BE(at(index) + 2), newest: answer.readInt16BE(at(index) + 4) },
    ]),
  )
}

const readMechanisms = (answer: Buffer): readonly string[] => {
  if (answer.readInt16BE(0) === outOfPlace) return []
  const mechanisms: string[] = []
  let at = 6
  for (let left = answer.readInt32BE(2); left > 0; left -= 1) {
    const end = at + 2 + answer.readInt16BE(at)
    mechanisms.push(answer.toString('latin1', at + 2, end))
    at = end
  }
  return mechanisms
}

/** What has been heard so far means; undefined: nothing yet. */
const meaning = (bytes: Buffer): Greeted | undefined => {
  // An alert or a handshake of TLS, any version of it.
  if (bytes.length >= 2 && (bytes[0] === 0x15 || bytes[0] === 0x16) && bytes[1] === 0x03) return { answer: 'tls' }
  const versions = answerAt(bytes, 0, apiVersions)
  if (versions === undefined) return undefined
  if (versions === 'foreign') return { answer: 'other' }
  const handshake = answerAt(bytes, 8 + versions.length, saslHandshake)
  try {
    const mechanisms = handshake instanceof Buffer ? readMechanisms(handshake) : undefined
    return { answer: 'kafka', understands: readVersions(versions), mechanisms }
  } catch (error) {
    // Numbers in it lead beyond its end.
    if (error instanceof RangeError) return { answer: 'other' }
    throw error
  }
}

const isWhole = (greeted: Greeted | undefined): boolean =>
  greeted !== undefined && (greeted.answer !== 'kafka' || greeted.mechanisms !== undefined)

const tlsTo = (broker: string, options: ConnectionOptions, whenSecure: () => void): TLSSocket => {
  const [host = '', port] = broker.split(':')
  return connectTls({ host, port: Number(port), ...(isIP(host) ? {} : { servername: host }), ...options }, whenSecure)
}

const clearTo = (broker: string, whenConnected: () => void): Socket => {
  const [host = '', port] = broker.split(':')
  return connect({ host, port: Number(port) }, whenConnected)
}

/** Runs a connection to its end, which is a time-out at the latest. @returns how it failed */
const ended = (socket: Socket, timeoutMs: number): Promise<Error | undefined> =>
  new Promise((resolve) => {
    let failure: Error | undefined
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    socket.on('error', (error) => {
      failure = error
    })
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(failure)
    })
  })

/**
 * Asks one broker which versions it speaks and how it wants to be authenticated. Never rejects.
 *
 * @param broker `host:port`
 * @param timeoutMs ends it, whatever hangs
 */
export const greetKafka = async (broker: string, encryption: Encryption, timeoutMs: number): Promise<Greeted> => {
  const speak = () => void socket.write(words)
  const socket =
    encryption === 'none'
      ? clearTo(broker, speak)
      : tlsTo(broker, encryption.ca === undefined ? {} : { ca: encryption.ca }, speak)
  let connected = false
  let heard: Buffer = Buffer.alloc(0)
  socket.once('connect', () => {
    connected = true
  })
  socket.on('data', (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes])
    if (isWhole(meaning(heard))) socket.destroy()
  })
  const error = (await ended(socket, timeoutMs)) ?? new Error('it closed the connection')
  return meaning(heard) ?? (heard.length === 0 ? { answer: 'none', connected, error } : { answer: 'other' })
}

/** Whether somebody answers to TLS, whatever the certificate. Never rejects. @param timeoutMs ends it */
export const answersToTls = async (broker: string, timeoutMs: number): Promise<boolean> => {
  let secure = false
  const socket = tlsTo(broker, { rejectUnauthorized: false }, () => {
    secure = true
    socket.destroy()
  })
  const error = await ended(socket, timeoutMs)
  // Who sends an alert speaks TLS as well.
  return secure || /\balert\b/i.test(error?.message ?? '')
}
