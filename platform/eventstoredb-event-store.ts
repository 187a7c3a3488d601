import { countTypesByReading } from './count-types.ts'
import type { EventStore } from './event-store.ts'
import { createAppend, createSendAppend } from './eventstoredb-event-store-append.ts'
import { checkServer } from './eventstoredb-event-store-check.ts'
import { createEventStoreDbClient } from './eventstoredb-event-store-client.ts'
import { createIdentity } from './eventstoredb-event-store-identity.ts'
import { createReads } from './eventstoredb-event-store-read.ts'
import { subscribeToLog } from './eventstoredb-event-store-subscribe.ts'
import { readEventStoreDbUrl } from './eventstoredb-event-store-url.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'

export interface EventStoreDbEventStore extends EventStore {
  /** `host:port`, or several with commas: fit for logs. */
  readonly hosts: string
  /**
   * Asks the server once whether it can hold the log, and makes the log's identity.
   *
   * @throws EngineUnavailable while it does not answer; StartupError, one sentence naming variable and host, for what
   * waiting will not mend
   */
  check(): Promise<void>
  /** Ends the connection; appends and reads under way are rejected. Subscriptions end by their own signals. */
  close(): Promise<void>
}

export interface EventStoreDbOptions {
  /** `EVENTSTORE_URL`: `esdb://user:password@host:2113?tls=true`, `esdb+discover://...`, several hosts with commas. */
  readonly url: string
  readonly logger: Logger
  readonly metrics?: Metrics
  /** An append that was not answered by then is rejected as EngineUnavailable, in milliseconds. */
  readonly appendDeadlineMs?: number
  /** A read in which nothing comes for so long is given up, in milliseconds. */
  readonly readStallMs?: number
  /** A subscription in which nothing comes for so long is checked against the log, in milliseconds. */
  readonly idleMs?: number
}

/**
 * The log in EventStoreDB (22.6 or newer). A position is the commit position of an event. Nothing is sent before the
 * first call.
 *
 * @throws StartupError for an address that cannot be used
 */
export const openEventStoreDbEventStore = (options: EventStoreDbOptions): EventStoreDbEventStore => {
  const { logger, metrics } = options
  const { hosts, credentialsIgnored } = readEventStoreDbUrl(options.url)
  const client = createEventStoreDbClient(options.url)
  if (credentialsIgnored)
    logger.warn('EVENTSTORE_URL holds a user and password, which are not sent because it also says tls=false')
  const send = createSendAppend(client, options.appendDeadlineMs ?? 5_000)
  const { withinLog, ...reads } = createReads(client, options.readStallMs ?? 5_000)
  const append = createAppend(send, reads.readStream)
  const identity = createIdentity(send, reads.readStream)

  const measured: EventStore['append'] = async (stream, events, expected) => {
    const seconds = metrics?.appendSeconds.startTimer()
    try {
      const result = await append(stream, events, expected)
      if (result.outcome === 'appended') metrics?.appendedEvents.inc(events.length)
      return result
    } finally {
      seconds?.()
    }
  }

  return {
    ...reads,
    seeks: false,
    splits: false,
    append: metrics ? measured : append,
    identity,
    countTypes: (upTo, after) => countTypesByReading(reads.readAll, upTo, after),
    subscribe: (subscription) =>
      subscribeToLog(
        { client, readAll: reads.readAll, withinLog, logger, idleMs: options.idleMs ?? 1_000 },
        subscription,
      ),
    hosts,
    check: () => checkServer(client, hosts, async () => [await reads.head(), await identity()]),
    close: client.close,
  }
}
