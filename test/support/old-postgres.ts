import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

const message = (type: string, content: Buffer): Buffer => {
  const head = Buffer.alloc(5, type, 'latin1')
  head.writeInt32BE(4 + content.length, 1)
  return Buffer.concat([head, content])
}
const int16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const int32 = (value: number) => Buffer.concat([int16(value >> 16), int16(value & 0xffff)])

const welcome = Buffer.concat([message('R', int32(0)), message('Z', Buffer.from('I'))])

/** One row with one column of text. */
const row = (name: string, value: string): Buffer =>
  Buffer.concat([
    message(
      'T',
      Buffer.concat([
        int16(1),
        Buffer.from(`${name}\0`),
        int32(0),
        int16(0),
        int32(25),
        int16(-1),
        int32(-1),
        int16(0),
      ]),
    ),
    message('D', Buffer.concat([int16(1), int32(value.length), Buffer.from(value)])),
    message('C', Buffer.from('SHOW\0')),
    message('Z', Buffer.from('I')),
  ])

/** What an old PostgreSQL is to a client until it has told its version: it lets everybody in, and every query is answered with the version. */
export interface OldPostgres {
  /** `host:port` */
  readonly host: string
  close(): Promise<void>
}

/** @param version as `server_version_num` says it: `130022` */
export const openOldPostgres = async (version: string): Promise<OldPostgres> => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write(welcome)
      socket.on('data', (bytes) => {
        // A simple query; the goodbye has another letter.
        if (String.fromCharCode(bytes[0] ?? 0) === 'Q') socket.write(row('server_version_num', version))
        else socket.end()
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}
