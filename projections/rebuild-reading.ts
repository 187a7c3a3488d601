import type { FeedEvent } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import { feedEvents } from '../platform/feed-event.ts'
import type { StreamShare } from '../platform/stream-share.ts'
import { decodeEvent } from '../schemas/decoding.ts'

/** A stretch of the log: what was wanted of it, and where it ends. */
export interface LogChunk {
  readonly events: readonly FeedEvent[]
  readonly position: bigint
}

const toFeedEvent = feedEvents(decodeEvent)

/** Pages are read in pieces that do not keep the process from anything else for long. */
const pageSize = 2_500

/**
 * Reads the log from a position to another one, the next chunk while the present one is worked on: two chunks are in
 * memory at most.
 *
 * @param reading.types only these; default every one
 * @param reading.chunkEvents asked before each chunk: how many events it should have
 */
export async function* readLog(
  store: Pick<EventStore, 'readAll'>,
  reading: {
    readonly after: bigint
    readonly upTo: bigint
    readonly types?: readonly string[]
    readonly chunkEvents: () => number
    readonly withoutMetadata: boolean
    /** Only of these streams, with `types`; default every one. */
    readonly share?: StreamShare | undefined
    /** Told of events that will come next, as soon as they are read. */
    readonly ahead?: (events: readonly FeedEvent[]) => void
    readonly signal: AbortSignal
  },
): AsyncGenerator<LogChunk> {
  const { after, upTo, types, share, chunkEvents, withoutMetadata, ahead, signal } = reading
  const how = { bulk: true, withoutMetadata, ...(types ? { types } : {}), ...(share ? { share } : {}) }
  const readChunk = async (from: bigint): Promise<LogChunk> => {
    const events: FeedEvent[] = []
    const wanted = chunkEvents()
    let position = from
    while (position < upTo && events.length < wanted && !signal.aborted) {
      const limit = Math.min(pageSize, wanted - events.length)
      const page = await store.readAll({ after: position, limit, upTo, ...how })
      if (page.position === position) throw new Error(`the log ends at ${position}, before ${upTo}`)
      // Beyond the end that was asked for there may be names that nobody asked for.
      const found = page.events.filter((stored) => stored.position <= upTo).map(toFeedEvent)
      events.push(...found)
      ahead?.(found)
      position = page.position
    }
    return { events, position: position > upTo ? upTo : position }
  }
  let next: Promise<LogChunk> | undefined
  for (let position = after; position < upTo && !signal.aborted; ) {
    const chunk = await (next ?? readChunk(position))
    if (signal.aborted) return
    position = chunk.position
    next = position < upTo ? readChunk(position) : undefined
    // It is awaited in the next turn, which may never come.
    next?.catch(() => undefined)
    yield chunk
  }
}
