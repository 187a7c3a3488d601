import type { Database } from './database.ts'
import type { EventStore } from './event-store.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { createAppend } from './postgres-event-store-append.ts'
import { openLogHints } from './postgres-event-store-hints.ts'
import { createReads } from './postgres-event-store-read.ts'
import { subscribeToLog } from './postgres-event-store-subscribe.ts'

export interface PostgresEventStore extends EventStore {
  /** Ends the LISTEN connection. Running subscriptions end by their own signals. */
  close(): Promise<void>
}

/**
 * The log in the tables of one PostgreSQL (schema `log`, see migrations/0001_log.sql). Concurrent appends of a process
 * travel in one statement and one commit; so do concurrent reads of whole streams.
 */
export const openPostgresEventStore = (deps: {
  readonly database: Database
  readonly logger: Logger
  readonly metrics?: Metrics
  /** How long a subscriber sleeps at most when no hint comes, in milliseconds. */
  readonly pollMs?: number
}): PostgresEventStore => {
  const hints = openLogHints(deps)
  const { metrics } = deps
  const append = createAppend({
    database: deps.database,
    onAppended: (position, events) => {
      hints.announce(position)
      metrics?.appendBatchEvents.observe(events)
      metrics?.appendedEvents.inc(events)
    },
  })
  const measured: EventStore['append'] = async (stream, events, expected) => {
    const seconds = metrics?.appendSeconds.startTimer()
    try {
      return await append(stream, events, expected)
    } finally {
      seconds?.()
    }
  }
  const reads = createReads(deps.database)
  return {
    append: metrics ? measured : append,
    ...reads,
    seeks: true,
    splits: true,
    subscribe: (options) =>
      subscribeToLog({ store: reads, hints, logger: deps.logger, pollMs: deps.pollMs ?? 250 }, options),
    close: hints.close,
  }
}
