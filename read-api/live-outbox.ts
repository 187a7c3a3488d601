import type { WebSocket } from 'ws'
import type { Metrics } from '../platform/metrics.ts'
import type { ServerMessage } from '../schemas/live.ts'

/** Bytes that wait for a socket. */
export interface OutboxLimits {
  /** Above this, events wait in their subscription's queue. */
  readonly roomBytes: number
  /** Above this, the connection is closed. */
  readonly maxBytes: number
}

/** What leaves on one connection. Pushes nothing that the socket cannot take soon. */
export interface Outbox {
  send(message: ServerMessage): void
  /** Sends JSON that was put together elsewhere. */
  sendText(text: string): void
  hasRoom(): boolean
  /** Resolves when there is room or the connection has ended. */
  room(): Promise<void>
  /** Wakes everybody who waits for room. */
  end(): void
}

export const createOutbox = (deps: {
  readonly socket: WebSocket
  readonly limits: OutboxLimits
  readonly metrics: Metrics
  readonly onOverflow: () => void
}): Outbox => {
  const { socket, limits, metrics } = deps
  let waiting: (() => void)[] = []
  let ended = false

  const hasRoom = (): boolean => ended || socket.bufferedAmount < limits.roomBytes
  const wake = (): void => {
    if (waiting.length === 0 || !hasRoom()) return
    const woken = waiting
    waiting = []
    for (const resolve of woken) resolve()
  }
  const sendText = (text: string): void => {
    if (ended || socket.readyState !== socket.OPEN) return
    socket.send(text, wake)
    metrics.liveMessages.inc()
    if (socket.bufferedAmount > limits.maxBytes) deps.onOverflow()
  }

  return {
    sendText,
    send: (message) => sendText(JSON.stringify(message)),
    hasRoom,
    room: () =>
      new Promise((resolve) => {
        if (hasRoom()) resolve()
        else waiting.push(resolve)
      }),
    end: () => {
      ended = true
      wake()
    },
  }
}
