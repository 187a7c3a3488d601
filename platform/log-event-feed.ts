import { setMaxListeners } from 'node:events'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { ConsumeOptions, EventFeed, FeedBatch, FeedEvent } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { feedEvents } from './feed-event.ts'
import type { Leases } from './leases.ts'
import { startTail, type Tail } from './log-event-feed-tail.ts'
import type { Logger } from './logging.ts'
import { patiently } from './patiently.ts'
import { backOffMs, pause } from './pause.ts'

export interface LogEventFeed extends EventFeed {
  /** Ends the shared tail; consumers end by their own signals. */
  close(): void
}

type Page = Pick<FeedBatch, 'events' | 'position'>

interface Reading {
  readonly after: bigint
  readonly types?: readonly string[] | undefined
  readonly batchSize: number
  readonly ahead?: ConsumeOptions['ahead'] | undefined
  readonly signal: AbortSignal
}

/**
 * Events that are read ahead at once. The process takes in whole what it asked for before it hears of anything else, and
 * meanwhile a consumer waits for the answers of its own engine: a page of 2,000 would keep it from writing for 9 ms.
 */
const pieceSize = 250

/**
 * The feed that reads the event store's log itself; the log is its one partition, 0.
 *
 * Whoever is at the end of the log shares one reader and its decoded events (the tail). Whoever is behind reads pages
 * of its own, the next one while it works, until it meets the tail. A group's only active member is the holder of a
 * lease; when the lease is lost, the member waits for it again and goes on from the stored checkpoint.
 */
export const createLogEventFeed = (deps: {
  readonly store: EventStore
  readonly leases: Leases
  readonly decode: (stored: StoredEvent) => RecordedEvent
  readonly logger: Logger
  /** Events that the tail keeps for consumers that fall a little behind. */
  readonly tailCapacity?: number
}): LogEventFeed => {
  const { store, leases, decode, logger, tailCapacity = 10_000 } = deps
  const closed = new AbortController()
  setMaxListeners(0, closed.signal)
  let starting: Promise<Tail | undefined> | undefined

  const toFeedEvent = feedEvents(decode)

  const tail = async (signal: AbortSignal): Promise<Tail | undefined> => {
    if (signal.aborted) return undefined
    starting ??= patiently(
      () => startTail({ store, toFeedEvent, capacity: tailCapacity, logger, signal: closed.signal }),
      closed.signal,
      logger,
    ).catch((error: unknown) => {
      // Whoever asks next tries again: one bad start must not be the end of the feed.
      starting = undefined
      throw error
    })
    const aborted = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
    return Promise.race([starting, aborted])
  }

  async function* read({ after, types, batchSize, ahead, signal }: Reading): AsyncGenerator<FeedBatch> {
    const recent = await tail(signal)
    if (!recent) return
    // Whoever comes anew may come because its checkpoint was put back, together with the log.
    await patiently(recent.check, signal, logger)
    const wanted = types && new Set(types)
    let position = after
    let next: Promise<Page | undefined> | undefined
    const page = async (from: bigint, limit: number): Promise<Page | undefined> => {
      const options = { after: from, limit, ...(types ? { types } : {}) }
      const found = await patiently(() => store.readAll(options), signal, logger)
      return found && { events: found.events.map(toFeedEvent), position: found.position }
    }
    const pageAhead = async (from: bigint): Promise<Page | undefined> => {
      const events: FeedEvent[] = []
      for (let end = from; ; ) {
        const limit = Math.min(pieceSize, batchSize - events.length)
        const piece = await page(end, limit)
        if (!piece) return undefined
        events.push(...piece.events)
        end = piece.position
        ahead?.(piece.events)
        if (piece.events.length < limit || events.length === batchSize) return { events, position: end }
      }
    }

    while (!signal.aborted && !closed.signal.aborted) {
      const slice = recent.read(position, batchSize, wanted)
      if (slice) {
        if (slice.position > position) {
          position = slice.position
          yield { partition: 0, events: slice.events, position, head: recent.head() }
        } else await recent.beyond(position, signal)
        continue
      }
      const { events, position: end } = (await (next ?? page(position, batchSize))) ?? { events: [], position }
      next = undefined
      if (signal.aborted) return
      if (end === position) {
        // The tail has seen more than the log holds.
        await patiently(recent.check, signal, logger)
        await pause(backOffMs(5), signal)
        continue
      }
      position = end
      if (!recent.covers(position)) {
        next = pageAhead(position)
        // It is awaited in the next turn, which may never come.
        next.catch(() => undefined)
      }
      yield { partition: 0, events, position, head: recent.head() }
    }
  }

  async function* consume(group: string, options: ConsumeOptions): AsyncGenerator<FeedBatch> {
    const { signal, types, ahead, batchSize = 1_000 } = options
    setMaxListeners(0, signal)
    while (!signal.aborted) {
      const lease = await leases.acquire(`feed/${group}`, signal)
      if (!lease) return
      try {
        const mine = AbortSignal.any([signal, lease.lost])
        setMaxListeners(0, mine)
        options.onAssigned?.([0])
        const after = await patiently(() => options.checkpoint(0), mine, logger)
        if (after !== undefined) yield* read({ after, types, batchSize, ahead, signal: mine })
      } finally {
        await lease.release()
      }
      if (closed.signal.aborted) return
    }
  }

  return {
    partitions: [0],
    consume,
    follow: ({ after, signal }) => {
      setMaxListeners(0, signal)
      return read({ after, batchSize: 1_000, signal })
    },
    head: () => store.head(),
    close: () => closed.abort(),
  }
}
