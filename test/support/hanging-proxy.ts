import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * A way to a server that can hang as a stopped process does: connections stay open and new ones are accepted, but
 * nothing that is said is answered, not even a goodbye. Or it is slow.
 */
export interface HangingProxy {
  readonly url: string
  hang(): void
  /** Lets pass again; what was said meanwhile arrives now. */
  resume(): void
  /** From now on each answer is so many milliseconds on its way. */
  delayAnswers(ms: number): void
  close(): Promise<void>
}

/** @param port where to listen; 0 takes a free one */
export const openHangingProxy = async (target: string, port = 0): Promise<HangingProxy> => {
  const url = new URL(target)
  const server = { host: url.hostname, port: Number(url.port || 5432), allowHalfOpen: true }
  const sockets = new Set<Socket>()
  let hanging = false
  let delayMs = 0
  const follow = (socket: Socket) => {
    sockets.add(socket)
    if (hanging) socket.pause()
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
  }
  /** In the order in which it came, however the delay changes meanwhile. */
  const later = () => {
    let last: Promise<unknown> = Promise.resolve()
    return (forward: () => void) => {
      const arrived = delayMs === 0 ? undefined : sleep(delayMs)
      last = last.then(() => arrived).then(forward)
    }
  }
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    const far = connect(server)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const forward = from === far ? later() : (now: () => void) => now()
      from.on('data', (bytes) => forward(() => to.write(bytes)))
      from.on('end', () => forward(() => to.end()))
      from.on('close', () => forward(() => to.destroy()))
      follow(from)
    }
    if (!hanging) near.resume()
  })
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve))
  url.hostname = '127.0.0.1'
  url.port = String((listener.address() as AddressInfo).port)
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
    delayAnswers: (ms) => {
      delayMs = ms
    },
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
