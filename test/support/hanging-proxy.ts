import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * A way to a PostgreSQL that can hang as a stopped process does: connections stay open and new ones are accepted, but
 * nothing that is said is answered, not even a goodbye.
 */
export interface HangingProxy {
  readonly url: string
  hang(): void
  /** Lets pass again; what was said meanwhile arrives now. */
  resume(): void
  close(): Promise<void>
}

/** @param port where to listen; 0 takes a free one */
export const openHangingProxy = async (target: string, port = 0): Promise<HangingProxy> => {
  const url = new URL(target)
  const postgres = { host: url.hostname, port: Number(url.port || 5432), allowHalfOpen: true }
  const sockets = new Set<Socket>()
  let hanging = false
  const follow = (socket: Socket) => {
    sockets.add(socket)
    if (hanging) socket.pause()
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
  }
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    const far = connect(postgres)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => to.write(bytes))
      from.on('end', () => to.end())
      from.on('close', () => to.destroy())
      follow(from)
    }
    if (!hanging) near.resume()
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    hang: () => {
      hanging = true
      for (const socket of sockets) socket.pause()
    },
    resume: () => {
      hanging = false
      for (const socket of sockets) socket.resume()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
