import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventStore, LogPage, SubscribeOptions } from './event-store.ts'
import { EngineUnavailable, LogWentBack } from './failures.ts'
import { createLogContinuity } from './log-continuity.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'
import type { LogHints } from './postgres-event-store-hints.ts'

/**
 * Catch-up, then live. Reads a page; when it moved on, hands it out (the next page is already on its way while the
 * consumer works); when it did not, waits for a hint or for the poll; when the engine is away, backs off. Ends on abort.
 *
 * What answers may have become an older log, where nothing is found beyond the position, or something that does not follow.
 * So each page is read from the last event that was handed out, which must still be there; where types are chosen, and
 * a page cannot begin there, it is looked for after a failure.
 */
export async function* subscribeToLog(
  {
    store,
    hints,
    logger,
    pollMs,
  }: {
    readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head'>
    readonly hints: LogHints
    readonly logger: Logger
    readonly pollMs: number
  },
  { after, types, pageSize = 1_000, withJson = false, signal }: SubscribeOptions,
): AsyncGenerator<LogPage> {
  let position = after
  let ahead: Promise<LogPage> | undefined
  let failures = 0
  let last: StoredEvent | undefined
  let polledAt = performance.now()
  const continuity = createLogContinuity(store)
  const readBeyond = (): Promise<LogPage> =>
    store.readAll({ after: position, limit: pageSize, withJson, ...(types ? { types } : {}) })
  const read = async (): Promise<LogPage> => {
    if (!last || types) return readBeyond()
    const whole = { after: last.position - 1n, limit: pageSize + 1, withJson }
    const { events, json, position: end } = await store.readAll(whole)
    if (events[0]?.id !== last.id) throw new LogWentBack(last.position)
    if (events.length > 1) return { events: events.slice(1), ...(json ? { json: json.slice(1) } : {}), position: end }
    // A page may be too small for more than that one event.
    const due = performance.now() - polledAt >= pollMs
    if (!due && hints.head() <= position) return { events: [], position }
    polledAt = performance.now()
    return readBeyond()
  }

  while (!signal.aborted) {
    const hinted = hints.head()
    try {
      if (failures > 0 && types) await continuity.check()
      const page = await (ahead ?? read())
      ahead = undefined
      failures = 0
      if (signal.aborted) return
      if (page.position > position) {
        position = page.position
        last = page.events.at(-1) ?? last
        continuity.read(page.events)
        hints.announce(position)
        if (page.events.length === pageSize || position < hints.head()) {
          ahead = read()
          // It is awaited in the next turn, which may never come.
          ahead.catch(() => undefined)
        }
        yield page
      } else {
        // Beyond what was hinted before the read, not beyond the position: a hint that nothing follows must not spin.
        await hints.beyond(hinted, pollMs, signal)
      }
    } catch (error) {
      ahead = undefined
      if (!(error instanceof EngineUnavailable)) throw error
      if (failures === 0) logger.warn({ error: error.message, position }, 'a subscription waits for the event store')
      await pause(backOffMs(failures), signal)
      failures += 1
    }
  }
}
