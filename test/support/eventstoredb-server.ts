import { type AddressInfo, createServer, type Socket } from 'node:net'
import { ServerCredentials } from '@grpc/grpc-js'
import { createFaults, type Endpoint, type Faults } from './eventstoredb-server-faults.ts'
import { openServerLog, type ServerLog } from './eventstoredb-server-log.ts'
import { createServices } from './eventstoredb-server-services.ts'

/** A server that stands in for an EventStoreDB node: the real client runs on it. */
export interface EventStoreDbServer extends Faults {
  /** `esdb://127.0.0.1:<port>?tls=false` */
  readonly url: string
  readonly port: number
  readonly log: ServerLog
  /** Cuts every connection; new ones are served. */
  resetConnections(): void
  /** Ends at once as a killed node does; nothing listens on its port until `start`. */
  kill(): Promise<void>
  /** Comes back on the same port, with what its file holds, or with the log it had when there is no file. */
  start(): Promise<void>
  /** How many connections clients have to it. */
  connections(): number
}

export interface EventStoreDbServerOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number
  /** An append-only file that keeps the log; default: memory. */
  readonly file?: string
  /** The log of another server, to be a second node of its cluster. */
  readonly log?: ServerLog
  /** `name:password` that every call has to carry. */
  readonly credentials?: string
  /** PEM: the server speaks TLS. */
  readonly tls?: { readonly key: string; readonly certificate: string }
  /** What it says of itself; default that of the node the facts were seen on. */
  readonly version?: string
  /** Who its gossip says is the leader; default itself. */
  readonly leader?: Endpoint
}

/** Starts a test server that speaks EventStoreDB's protocol on loopback. */
export const startEventStoreDbServer = async (options: EventStoreDbServerOptions = {}): Promise<EventStoreDbServer> => {
  const state = createFaults()
  const sockets = new Set<Socket>()
  let log = options.log ?? openServerLog(options.file)
  let port = options.port ?? 0
  let stopListening: (() => Promise<void>) | undefined

  const start = async (): Promise<void> => {
    const services = createServices({
      log,
      state,
      version: options.version ?? '23.10.8.0',
      credentials: options.credentials,
      leader: () => options.leader ?? { host: '127.0.0.1', port },
    })
    const { tls } = options
    const injector = services.createConnectionInjector(
      tls
        ? ServerCredentials.createSsl(null, [
            { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.certificate) },
          ])
        : ServerCredentials.createInsecure(),
    )
    const listener = createServer((socket) => {
      sockets.add(socket.setNoDelay(true))
      socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
      injector.injectConnection(socket)
    })
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject).listen(port, '127.0.0.1', resolve)
    })
    port = (listener.address() as AddressInfo).port
    stopListening = () =>
      new Promise((resolve) => {
        listener.close(() => resolve())
        for (const socket of sockets) socket.resetAndDestroy()
        injector.destroy()
        services.forceShutdown()
      })
  }

  await start()
  return {
    ...state.faults,
    url: `esdb://127.0.0.1:${port}?tls=${options.tls ? 'true' : 'false'}`,
    port,
    get log() {
      return log
    },
    connections: () => sockets.size,
    resetConnections: () => {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    kill: async () => {
      await stopListening?.()
      stopListening = undefined
      if (options.file) log.close()
    },
    start: async () => {
      if (options.file) log = openServerLog(options.file)
      await start()
    },
  }
}
