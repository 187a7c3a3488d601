import {
  type AllStreamResolvedEvent,
  BACKWARDS,
  END,
  FORWARDS,
  type ReadPosition,
  type RecordedEvent,
  type ResolvedEvent,
  START,
} from '@eventstore/db-client'
import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventStore, LogPage, ReadAllOptions, StreamSlice } from './event-store.ts'
import { type EventStoreDbClient, followingLeader, typeOf } from './eventstoredb-event-store-client.ts'
import { collect } from './eventstoredb-event-store-collect.ts'
import { isOurs, maxPosition, positionOf, toStoredEvent } from './eventstoredb-event-store-record.ts'
import { EngineUnavailable } from './failures.ts'

/** A page looks at so many events of the log at most: a rare type costs many short reads, not an endless one. */
const stretch = 10_000

const leader = { requiresLeader: true } as const

const recorded = ({ event }: ResolvedEvent | AllStreamResolvedEvent): RecordedEvent | undefined =>
  event as RecordedEvent | undefined

/** @param stallMs how long the server may be silent in the middle of a read */
export const createReads = (
  { reads }: EventStoreDbClient,
  stallMs: number,
): Pick<EventStore, 'readStream' | 'readHistory' | 'readAll' | 'head' | 'last'> & {
  /** Of a place beyond `after`: itself, or the last event of ours when nothing but the server's own events follow it. */
  withinLog(position: bigint, after: bigint): Promise<bigint>
} => {
  const eventsOf = async (
    stream: string,
    options: { direction: 'forwards' | 'backwards'; from: bigint | 'start' | 'end'; limit?: number | undefined },
  ): Promise<StoredEvent[]> => {
    const events: StoredEvent[] = []
    const read = reads.readStream(stream, {
      ...leader,
      direction: options.direction,
      fromRevision: options.from,
      ...(options.limit === undefined ? {} : { maxCount: options.limit }),
    })
    await collect<ResolvedEvent>(read, stallMs, (resolved) => {
      const event = recorded(resolved)
      if (event) events.push(toStoredEvent(event))
      return 'more'
    })
    return events
  }

  const lastRevision = async (stream: string): Promise<bigint | 'none'> =>
    (await eventsOf(stream, { direction: BACKWARDS, from: END, limit: 1 }))[0]?.revision ?? 'none'

  const readStream: EventStore['readStream'] = async (
    stream,
    { direction = 'forwards', from, limit } = {},
  ): Promise<StreamSlice> => {
    if (limit === 0) return { revision: await lastRevision(stream), events: [] }
    const start = from === undefined ? undefined : from < maxPosition ? from : maxPosition
    if (direction === 'backwards') {
      const part = eventsOf(stream, { direction: BACKWARDS, from: start ?? END, limit })
      if (start === undefined) return { revision: (await part)[0]?.revision ?? 'none', events: await part }
      const [events, revision] = await Promise.all([part, lastRevision(stream)])
      return { revision, events }
    }
    const part = eventsOf(stream, { direction: FORWARDS, from: start ?? START, limit })
    if (limit === undefined) {
      const events = await part
      return { revision: events.at(-1)?.revision ?? (start ? await lastRevision(stream) : 'none'), events }
    }
    const [events, last] = await Promise.all([part, lastRevision(stream)])
    // An append may come between the two reads.
    const seen = events.at(-1)?.revision
    return { revision: seen !== undefined && (last === 'none' || seen > last) ? seen : last, events }
  }

  const withinLog = async (position: bigint, after: bigint): Promise<bigint> => {
    if (position <= headSeen.head || position === after) return position
    const { head: newest } = await end()
    if (position <= newest) return position
    return newest > after ? newest : after
  }

  /** Forwards from a place, what lies after the position and is wanted. */
  const page = async (
    from: ReadPosition,
    { after, limit, types }: ReadAllOptions,
    looked: number,
  ): Promise<LogPage> => {
    const wanted = types && new Set(types)
    const events: StoredEvent[] = []
    let position = after
    let ours = after
    await collect<AllStreamResolvedEvent>(
      reads.readAll({ ...leader, direction: FORWARDS, fromPosition: from, maxCount: looked }),
      stallMs,
      (resolved) => {
        const event = recorded(resolved)
        if (!event || positionOf(event) <= after) return 'more'
        position = positionOf(event)
        if (isOurs(event)) {
          ours = position
          if (!wanted || wanted.has(event.type)) events.push(toStoredEvent(event))
        }
        return events.length === limit ? 'enough' : 'more'
      },
    )
    return { events, position: position === ours ? position : await withinLog(position, after) }
  }

  let headSeen: { readonly scanned: bigint; readonly head: bigint; readonly last: StoredEvent | undefined } = {
    ...{ scanned: 0n, head: 0n, last: undefined },
  }

  /** Backwards from the end to the last event of ours, but not again over what an earlier call has looked at. */
  const end = async (): Promise<typeof headSeen> => {
    let newest: bigint | undefined
    let found: bigint | undefined
    const { scanned, head: known } = headSeen
    let { last } = headSeen
    for (let from: ReadPosition = END, looked = 8; found === undefined; looked = Math.min(looked * 4, stretch)) {
      let oldest: bigint | undefined
      await collect<AllStreamResolvedEvent>(
        reads.readAll({ ...leader, direction: BACKWARDS, fromPosition: from, maxCount: looked }),
        stallMs,
        (resolved) => {
          const event = recorded(resolved)
          if (!event) return 'more'
          oldest = positionOf(event)
          newest ??= oldest
          if (isOurs(event)) {
            found = oldest
            last = toStoredEvent(event)
          }
          // A log that ends before what was seen is another one, and is read anew.
          else if (oldest <= scanned && newest >= scanned) found = known
          return found === undefined ? 'more' : 'enough'
        },
      )
      // Whether the event at `from` itself is part of a read backwards is not agreed on: both ways this ends.
      if (oldest === undefined || oldest === (typeof from === 'object' ? from.commit : -1n)) found ??= 0n
      else from = { commit: oldest, prepare: oldest }
    }
    headSeen = { scanned: newest ?? 0n, head: found, last: found === 0n ? undefined : last }
    return headSeen
  }

  const head = async (): Promise<bigint> => (await end()).head

  const readAll: EventStore['readAll'] = async (options) => {
    const { after, limit, types } = options
    if (after < 0n || after > maxPosition) throw new RangeError(`${after} is no position`)
    // The event at the position itself is part of the answer, and a few of the server's own may be.
    const looked = types ? stretch : Math.min(stretch, limit + 32)
    if (after === 0n) return page(START, options, looked)
    try {
      return await page({ commit: after, prepare: after }, options, looked)
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error
      if (typeOf(error.cause) !== 'unknown') throw error
    }
    // A server can begin to read at an event only. Just before one is where a single event is asked for.
    try {
      return await page({ commit: after + 1n, prepare: after + 1n }, options, looked)
    } catch (error) {
      if (!(error instanceof EngineUnavailable) || typeOf(error.cause) !== 'unknown') throw error
    }
    // Otherwise the position was made for another log, or by hand.
    if ((await head()) <= after) return { events: [], position: after }
    return page(START, options, Number.MAX_SAFE_INTEGER)
  }

  return {
    readStream: (stream, options) => followingLeader(() => readStream(stream, options)),
    readHistory: async (stream) => {
      const { events } = await followingLeader(() => readStream(stream))
      return { last: events.at(-1), events }
    },
    readAll: (options) => followingLeader(() => readAll(options)),
    head: () => followingLeader(head),
    last: async () => (await followingLeader(end)).last,
    withinLog: (position, after) => followingLeader(() => withinLog(position, after)),
  }
}
