import { WebSocket } from 'ws'

export type LiveMessage = { readonly type: string; readonly [member: string]: unknown }

/** A client of the live feed that remembers everything it was sent. */
export interface LiveClient {
  readonly socket: WebSocket
  readonly received: readonly LiveMessage[]
  send(message: unknown): void
  /** The first message, already here or yet to come, for which this holds. */
  first(holds: (message: LiveMessage) => boolean): Promise<LiveMessage>
  /** Waits until so many events have come for a subscription, and returns them. */
  events(id: string, count: number): Promise<LiveMessage[]>
  /** How the connection ended. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  close(): Promise<void>
}

export const openLiveClient = async (url: string): Promise<LiveClient> => {
  const socket = new WebSocket(url)
  const received: LiveMessage[] = []
  let waiting: (() => void)[] = []
  const wake = () => {
    const woken = waiting
    waiting = []
    for (const resolve of woken) resolve()
  }
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => {
      resolve({ code, reason: String(reason) })
      wake()
    })
  })
  socket.on('message', (data) => {
    received.push(JSON.parse(String(data)) as LiveMessage)
    wake()
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => undefined)

  const until = async <T>(ask: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = ask()
      if (found !== undefined) return found
      if (socket.readyState === WebSocket.CLOSED)
        throw new Error(`the connection ended; last message: ${JSON.stringify(received.at(-1))}`)
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }

  return {
    socket,
    received,
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    first: (holds) => until(() => received.find(holds)),
    events: (id, count) =>
      until(() => {
        const events = received.filter((message) => message.type === 'event' && message.id === id)
        return events.length >= count ? events : undefined
      }),
    close: async () => {
      socket.close()
      await closed
    },
  }
}
