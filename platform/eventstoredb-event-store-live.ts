import { type AllStreamSubscription, eventTypeFilter, START } from '@eventstore/db-client'
import type { StoredEvent } from '../schemas/envelope.ts'
import { type EventStoreDbClient, engine, translated } from './eventstoredb-event-store-client.ts'
import { isOurs, positionOf, toStoredEvent } from './eventstoredb-event-store-record.ts'
import { EngineUnavailable } from './failures.ts'

/** One subscription of the client, pulled. It never resubscribes. */
export interface LiveLog {
  /**
   * What has come and lies beyond a position, at most so many events, and up to where the log has been looked at. Events
   * that come a second time are passed over.
   */
  take(after: bigint, limit: number): { readonly events: StoredEvent[]; readonly position: bigint }
  /** Resolves when there may be something to take, when it has ended, after so many milliseconds, or on abort. */
  news(timeoutMs: number, signal: AbortSignal): Promise<'news' | 'nothing'>
  /** Why it has ended, be it that the server closed it in good order; undefined when it has not. */
  ended(): unknown
  close(): void
}

/** A name as a regular expression that matches nothing else. */
const literally = (name: string): string => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/**
 * Subscribes to what follows a position. The server filters: by type where types are wanted, its own events otherwise.
 *
 * @param readAhead events that are fetched ahead of `take`; beyond them the server has to wait
 */
export const openLiveLog = (
  { reads }: EventStoreDbClient,
  { after, types, readAhead }: { after: bigint; types: readonly string[] | undefined; readAhead: number },
): LiveLog => {
  const wanted = types && new Set(types)
  let checkpoint = 0n
  let end: unknown
  let wake = (): void => undefined

  const subscription: AllStreamSubscription = reads.subscribeToAll(
    {
      requiresLeader: true,
      fromPosition: after === 0n ? START : { commit: after, prepare: after },
      filter: eventTypeFilter({
        regex: types ? `^(${types.map(literally).join('|')})$` : '^[^$].*',
        // The server sends one for so many stretches of 32 events that it has looked at.
        checkpointInterval: 8,
        checkpointReached: (_, position) => {
          // One that names no event ("the next record begins at ...") is no place to read from.
          if (position.commit !== position.prepare || position.commit <= checkpoint) return
          checkpoint = position.commit
          wake()
        },
      }),
    },
    { highWaterMark: readAhead },
  )
  const finish = (reason: unknown) => {
    end ??= reason
    wake()
  }
  // What came in one piece is taken as one page, not event by event.
  subscription.on('readable', () => setImmediate(() => wake()))
  subscription.on('error', (error) => finish(translated(error)))
  subscription.on('end', () => finish(new EngineUnavailable(engine, new Error('the server closed the subscription'))))

  return {
    ended: () => end,
    take: (from, limit) => {
      const events: StoredEvent[] = []
      let position = from
      while (events.length < limit) {
        const resolved = subscription.read()
        // Everything that came before the last checkpoint has been taken: only now is the checkpoint true.
        if (resolved === null) return { events, position: checkpoint > position ? checkpoint : position }
        const { event } = resolved
        if (!event || positionOf(event) <= position) continue
        position = positionOf(event)
        if (isOurs(event) && (!wanted || wanted.has(event.type))) events.push(toStoredEvent(event))
      }
      return { events, position }
    },
    news: (timeoutMs, signal) =>
      new Promise((resolve) => {
        if (signal.aborted || end !== undefined || subscription.readableLength > 0) return resolve('news')
        const done = (what: 'news' | 'nothing') => {
          clearTimeout(timer)
          signal.removeEventListener('abort', woken)
          wake = () => undefined
          resolve(what)
        }
        const woken = () => done('news')
        const timer = setTimeout(() => done('nothing'), timeoutMs)
        signal.addEventListener('abort', woken)
        wake = woken
      }),
    close: () => {
      subscription.unsubscribe().catch(() => undefined)
      // What is still on its way is let through: a subscription that nobody takes from is never freed.
      subscription.removeAllListeners('readable').resume()
    },
  }
}
