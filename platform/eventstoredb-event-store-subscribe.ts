import { setMaxListeners } from 'node:events'
import type { EventStore, LogPage, SubscribeOptions } from './event-store.ts'
import { type EventStoreDbClient, typeOf } from './eventstoredb-event-store-client.ts'
import { type LiveLog, openLiveLog } from './eventstoredb-event-store-live.ts'
import { maxPosition } from './eventstoredb-event-store-record.ts'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'

/**
 * Catch-up, then live, on subscriptions of the client, which never resubscribe, may end without a word and may fall
 * silent for ever. The position is kept here.
 *
 * States: following -> broken (error, or closed in good order) -> back-off -> following ...
 *         following -> idle (nothing came for a while) -> the log itself is asked what lies beyond the position:
 *           nothing, or nothing wanted: following on, from the later position
 *           something: the subscription has missed it or is late: it is handed out, and following begins anew behind it
 *         any -> ended, when the signal aborts or the consumer walks away
 */
export async function* subscribeToLog(
  deps: {
    readonly client: EventStoreDbClient
    readonly readAll: EventStore['readAll']
    readonly withinLog: (position: bigint, after: bigint) => Promise<bigint>
    readonly logger: Logger
    /** How long nothing may come before the log is asked, in milliseconds. */
    readonly idleMs: number
  },
  { after, types, pageSize = 1_000, signal }: SubscribeOptions,
): AsyncGenerator<LogPage> {
  if (after < 0n || after > maxPosition) throw new RangeError(`${after} is no position`)
  setMaxListeners(0, signal)
  let position = after
  let failures = 0
  let live: LiveLog | undefined
  // A subscription cannot begin at a position that is no event's; a read of the log finds its way from there.
  let lost = false

  const leave = (): void => {
    live?.close()
    live = undefined
  }

  /** What lies beyond the position, or undefined when nothing is known to. */
  const next = async (): Promise<LogPage | undefined> => {
    if (!lost) {
      live ??= openLiveLog(deps.client, { after: position, types, readAhead: Math.ceil(pageSize / 2) })
      const taken = live.take(position, pageSize)
      const last = taken.events.at(-1)?.position
      const end = last === taken.position ? last : await deps.withinLog(taken.position, position)
      if (end > position) return { events: taken.events, position: end }
      if (live.ended()) throw live.ended()
      // Jittered, so that many subscribers do not all ask at once.
      if ((await live.news(deps.idleMs * (0.75 + Math.random() / 2), signal)) === 'news') return undefined
    }
    const page = await deps.readAll({ after: position, limit: pageSize, ...(types ? { types } : {}) })
    lost = false
    if (page.events.length > 0) leave()
    return page.position > position ? page : undefined
  }

  try {
    while (!signal.aborted) {
      try {
        const page = await next()
        if (signal.aborted || !page) continue
        failures = 0
        position = page.position
        yield page
      } catch (error) {
        leave()
        if (signal.aborted) return
        if (!(error instanceof EngineUnavailable)) throw error
        lost = typeOf(error.cause) === 'unknown'
        if (failures === 0) deps.logger.warn({ error: error.message, position }, 'a subscription begins anew')
        await pause(backOffMs(failures), signal)
        failures += 1
      }
    }
  } finally {
    leave()
  }
}
