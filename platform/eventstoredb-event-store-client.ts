import { EventStoreDBClient } from '@eventstore/db-client'
import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js'
import service from '@eventstore/db-client/generated/streams_grpc_pb.js'
import { readEventStoreDbUrl } from './eventstoredb-event-store-url.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { backOffMs, pause } from './pause.ts'

export const engine = 'EventStoreDB'

export type BatchAppendCall = ReturnType<StreamsClient['batchAppend']>

/** The client with the one call that it keeps to itself. */
export interface EventStoreDbClient {
  readonly reads: Pick<EventStoreDBClient, 'readStream' | 'readAll' | 'subscribeToAll'>
  /** A stream of appends on the client's connection. */
  openBatchAppend(): Promise<BatchAppendCall>
  /** What the server says of itself: `23.10.8`. */
  serverVersion(): Promise<string>
  /** Cancels what is under way and closes the connection. */
  close(): Promise<void>
}

/**
 * The client's own commands are made of these. They are used here because its `appendToStream` is not safe in a process
 * that has to survive a server: pending appends of all clients of a process are in one table, which the error of any
 * stream empties, and a reply that comes later ends the process (docs/decisions/0010-eventstoredb.md).
 */
interface ClientInternals {
  GRPCStreamCreator<Call>(
    client: typeof StreamsClient,
    name: string,
    create: (client: StreamsClient) => Call,
  ): () => Promise<Call>
  callArguments(
    options: { readonly requiresLeader: boolean },
    callOptions: { readonly deadline: number },
  ): Parameters<StreamsClient['batchAppend']>
  getChannel(): Promise<{ close(): void }>
  readonly capabilities: Promise<{ readonly serverVersion: string }>
}

/** @throws StartupError for an address or a certificate file that cannot be used */
export const createEventStoreDbClient = (url: string): EventStoreDbClient => {
  const address = readEventStoreDbUrl(url)
  let client: EventStoreDBClient
  try {
    client = EventStoreDBClient.connectionString(address.url)
  } catch (error) {
    // What the client says may repeat the address; only what is known to be harmless is passed on.
    const about = error instanceof Error && /certificate|userCertFile|userKeyFile/.test(error.message)
    throw new StartupError(
      `EVENTSTORE_URL names an EventStoreDB on ${address.hosts} with ${about ? 'a certificate or key file that cannot be read' : 'an option whose value the client does not take'}.`,
    )
  }
  const internals = client as unknown as ClientInternals
  return {
    reads: client,
    openBatchAppend: () =>
      internals.GRPCStreamCreator(service.StreamsClient, 'batchAppend', (streams) =>
        streams.batchAppend(
          ...internals.callArguments({ requiresLeader: true }, { deadline: Number.POSITIVE_INFINITY }),
        ),
      )(),
    serverVersion: async () => {
      try {
        return (await internals.capabilities).serverVersion
      } catch (error) {
        throw translated(error)
      }
    },
    close: async () => {
      await client.dispose()
      // Not awaited: a client that is still looking for its cluster has no channel yet, and may look for long.
      internals.getChannel().then(
        (channel) => channel.close(),
        () => undefined,
      )
    },
  }
}

/** `wrong-expected-version`, `stream-not-found` and so on; undefined for what is no answer of the server. */
export const typeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'type' in error && typeof error.type === 'string' ? error.type : undefined

/** What no repeat will mend. Everything else passes: a leader is elected, a node starts, a connection comes back. */
const permanent = new Set(['stream-deleted', 'invalid-argument', 'maximum-append-size-exceeded'])

/** An error of the client in the words of the port. */
export const translated = (error: unknown): unknown =>
  error instanceof EngineUnavailable || error instanceof RangeError || permanent.has(typeOf(error) ?? '')
    ? error
    : new EngineUnavailable(engine, error)

const redirects = 3

/** Does it again when the node says that another one leads now: the client turns to the leader that the error names. */
export const followingLeader = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      const refused = error instanceof EngineUnavailable && typeOf(error.cause) === 'not-leader'
      if (!refused || attempt === redirects) throw error
      await pause(backOffMs(attempt))
    }
  }
}
