import { setMaxListeners } from 'node:events'
import websocket from '@fastify/websocket'
import { type HttpServer, sendProblem } from '../platform/http-server.ts'
import { closeCodes } from '../schemas/live.ts'
import type { LiveDependencies } from './dependencies.ts'
import { type LiveConnection, type LiveLimits, serveConnection } from './live-connection.ts'
import { createGate } from './live-gate.ts'
import { createLiveHub } from './live-hub.ts'
import { createLiveLeaderboards } from './live-leaderboards.ts'

export interface LiveOptions extends Partial<LiveLimits> {
  /** Milliseconds between two heartbeats; a client that answers none in between is dropped. */
  readonly heartbeatMs?: number
}

const defaults: LiveLimits = {
  roomBytes: 256 * 1024,
  maxBytes: 1024 * 1024,
  maxQueue: 4_000,
  maxSubscriptions: 100,
}

/** A client's message at most; a larger one closes the connection with 1009. */
const maxMessageBytes = 16 * 1024
/** Reads of the past that run at once, over all connections. */
const readsAtOnce = 4
/** How long clients get to answer the closing handshake when the server shuts down. */
const farewellMs = 1_000

/** `/v1/live`: the live feed over WebSocket. docs/live-feed.md describes the protocol. */
export const registerLive = (server: HttpServer, deps: LiveDependencies, options: LiveOptions = {}): void => {
  const { heartbeatMs = 15_000, ...limits } = { ...defaults, ...options }
  const { logger, metrics } = deps
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const hub = createLiveHub({ ...deps, signal: closing.signal })
  const boards = createLiveLeaderboards({ ...deps, hub, signal: closing.signal })
  const gate = createGate(readsAtOnce)
  const connections = new Set<LiveConnection>()

  const heart = setInterval(() => {
    for (const connection of connections) connection.beat()
  }, heartbeatMs)
  heart.unref()

  server.register(websocket, {
    options: { maxPayload: maxMessageBytes },
    errorHandler: (error, socket) => {
      logger.debug({ error: String(error) }, 'a live connection failed')
      // A message that is too large has its close frame on the way already.
      if (socket.readyState === socket.OPEN) socket.terminate()
    },
    preClose: (done) => {
      clearInterval(heart)
      closing.abort()
      for (const connection of connections) connection.close(closeCodes.goingAway, 'shutting-down')
      const sockets = [...server.websocketServer.clients]
      server.websocketServer.close()
      if (sockets.length === 0) return done()
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.terminate()
        done()
      }, farewellMs)
      let open = sockets.length
      for (const socket of sockets)
        socket.once('close', () => {
          open -= 1
          if (open > 0) return
          clearTimeout(timer)
          done()
        })
    },
  })

  server.register((scope, _options, done) => {
    scope.route({
      method: 'GET',
      url: '/v1/live',
      exposeHeadRoute: false,
      handler: (_request, reply) => sendProblem(reply.header('Upgrade', 'websocket'), 'upgrade-required'),
      wsHandler: (socket) => {
        const connection = serveConnection({ ...deps, socket, limits, hub, boards, gate })
        connections.add(connection)
        metrics.liveConnections.inc()
        socket.on('close', () => {
          connections.delete(connection)
          metrics.liveConnections.dec()
        })
      },
    })
    done()
  })
}
