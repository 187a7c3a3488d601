import type { RawData, WebSocket } from 'ws'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { CommandRejected, type ErrorCode } from '../schemas/errors.ts'
import { closeCodes, type SubscribeMessage } from '../schemas/live.ts'
import type { Leaderboard } from '../schemas/views.ts'
import type { LiveDependencies } from './dependencies.ts'
import type { Gate } from './live-gate.ts'
import type { LiveHub } from './live-hub.ts'
import type { LiveLeaderboards } from './live-leaderboards.ts'
import { listSource } from './live-list-source.ts'
import { errorMessageOf, parseClientMessage } from './live-messages.ts'
import { createOutbox, type OutboxLimits } from './live-outbox.ts'
import { orderSource } from './live-source.ts'
import { type Subscription, startSubscription } from './live-subscription.ts'

export interface LiveLimits extends OutboxLimits {
  /** Events that wait for a socket at most, per subscription. */
  readonly maxQueue: number
  readonly maxSubscriptions: number
}

/** One client. */
export interface LiveConnection {
  /** Asks for a sign of life; a client that gave none since the last time is dropped. */
  beat(): void
  /** Says why and where to resume, then closes. */
  close(code: number, why: ErrorCode): void
}

/** A close reason has 123 bytes at most: cursors that do not fit are in the error message before it only. */
const reasonOf = (why: ErrorCode, cursors: Readonly<Record<string, string>>): string => {
  const whole = JSON.stringify({ code: why, cursors })
  return Buffer.byteLength(whole) <= 123 ? whole : JSON.stringify({ code: why })
}

/** Serves a client until its socket closes. */
export const serveConnection = (
  deps: LiveDependencies & {
    readonly socket: WebSocket
    readonly limits: LiveLimits
    readonly hub: LiveHub
    readonly boards: LiveLeaderboards
    readonly gate: Gate
  },
): LiveConnection => {
  const { socket, limits, hub, boards, metrics, logger } = deps
  const subscriptions = new Map<string, Subscription>()
  let alive = true

  const stopAll = (): void => {
    for (const subscription of subscriptions.values()) subscription.stop()
    subscriptions.clear()
    outbox.end()
  }

  const close = (code: number, why: ErrorCode): void => {
    if (socket.readyState !== socket.OPEN) return
    const cursors: Record<string, string> = {}
    for (const [id, subscription] of subscriptions) {
      const cursor = subscription.cursor()
      if (cursor !== undefined) cursors[id] = cursor
    }
    socket.send(JSON.stringify({ ...errorMessageOf(new CommandRejected(why)), cursors }))
    socket.close(code, reasonOf(why, cursors))
    stopAll()
  }

  const onSlow = (): void => {
    if (socket.readyState === socket.OPEN) metrics.liveSlowClosed.inc()
    close(closeCodes.slowConsumer, 'slow-consumer')
  }

  const outbox = createOutbox({ socket, limits, metrics, onOverflow: onSlow })

  const onFailure = (id: string, error: unknown): void => {
    if (error instanceof UndecodableEvent)
      logger.warn({ error: error.message }, 'a live subscription has ended before an event that cannot be read here')
    else if (!(error instanceof CommandRejected)) logger.error({ err: error }, 'a live subscription failed')
    subscriptions.delete(id)
    outbox.send(errorMessageOf(error, id))
  }

  const watchBoard = ({ id, channel, type: _, ...request }: SubscribeMessage & { channel: 'leaderboard' }) => {
    let sent: string | undefined
    const listener = (leaderboard: Leaderboard, json: string): void => {
      // A board that finds no room is not queued: the next one is newer.
      if (json === sent || !outbox.hasRoom()) return
      outbox.send(
        sent === undefined ? { type: 'snapshot', id, channel, leaderboard } : { type: 'leaderboard', id, leaderboard },
      )
      sent = json
    }
    return { cursor: () => undefined, stop: boards.watch(request, listener) }
  }

  const subscribe = (message: SubscribeMessage): Subscription => {
    if (message.channel === 'leaderboard') return watchBoard(message)
    const { id, after } = message
    const source =
      message.channel === 'order'
        ? orderSource(deps, message.orderId)
        : listSource(deps, message.channel === 'customer' ? message.customerId : undefined)
    return startSubscription({
      ...deps,
      id,
      after: after === undefined ? undefined : BigInt(after),
      source,
      outbox,
      maxQueue: limits.maxQueue,
      onSlow,
      onFailure: (error) => onFailure(id, error),
    })
  }

  const receive = (data: RawData, isBinary: boolean): void => {
    const message = parseClientMessage(data, isBinary)
    const { id } = message
    const known = subscriptions.get(id)
    if (message.type === 'unsubscribe') {
      if (!known) throw new CommandRejected('not-subscribed', { id })
      known.stop()
      subscriptions.delete(id)
      outbox.send({ type: 'unsubscribed', id })
    } else {
      if (known) throw new CommandRejected('already-subscribed', { id })
      if (subscriptions.size >= limits.maxSubscriptions)
        throw new CommandRejected('too-many-subscriptions', { id, detail: `${limits.maxSubscriptions} at most` })
      subscriptions.set(id, subscribe(message))
    }
  }

  socket.on('message', (data, isBinary) => {
    alive = true
    if (socket.readyState !== socket.OPEN) return
    try {
      receive(data, isBinary)
    } catch (error) {
      if (!(error instanceof CommandRejected)) logger.error({ err: error }, 'a live message failed')
      outbox.send(errorMessageOf(error))
    }
  })
  socket.on('pong', () => {
    alive = true
  })
  socket.on('close', stopAll)

  return {
    close,
    beat: () => {
      if (!alive) {
        socket.terminate()
        return
      }
      alive = false
      if (socket.readyState === socket.OPEN) socket.ping()
      outbox.send({ type: 'heartbeat', position: String(hub.position()) })
    },
  }
}
