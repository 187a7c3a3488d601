import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Queryable } from '../platform/database.ts'
import type { EventStore, LogPage } from '../platform/event-store.ts'
import { isSealed, unseal } from '../platform/partitioning.ts'
import { createRelevance } from '../platform/relevance.ts'
import type { Standing } from '../platform/standing.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { DomainEventType } from '../schemas/events.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { decidedName, loadDecisions } from './decisions.ts'
import { createPace } from './pace.ts'
import { sampleLog } from './verify-log-sample.ts'
import type { RowOrigin } from './verify-model.ts'
import { reading, UnreadableEvent } from './verify-unreadable.ts'

/** How far a read model has come: in one position, or in one for each partition of the streams. */
export interface Reach {
  upTo(stream: string): bigint
  /** The partition whose checkpoint a stream moves. */
  partitionOf(stream: string): number
  readonly least: bigint
  readonly most: bigint
}

export const nowhere: Reach = { upTo: () => 0n, partitionOf: () => 0, least: 0n, most: 0n }

/** The read model stands in partitions, and this process knows none. */
export class PartitionsUnknown extends Error {}

/**
 * @param partitionOf where streams lie, when a feed has partitions
 * @param at nothing after this position counts
 */
export const reachOf = (
  { checkpoints }: Pick<Standing, 'checkpoints'>,
  partitionOf: ((stream: string) => number) | undefined,
  at?: bigint,
): Reach => {
  const limited = (position: bigint) => (at !== undefined && at < position ? at : position)
  const whole = checkpoints.find(({ partition }) => partition === 0)?.position ?? 0n
  const parts = checkpoints.filter(({ partition }) => partition > 0)
  if (!isSealed(whole) && parts.length === 0) {
    const position = limited(whole)
    return { upTo: () => position, partitionOf: () => 0, least: position, most: position }
  }
  if (!partitionOf) throw new PartitionsUnknown('it stands in partitions since Kafka has carried the log')
  const start = isSealed(whole) ? unseal(whole) : 0n
  const positions = new Map(parts.map(({ partition, position }) => [partition, position]))
  const all = [start, ...positions.values()].map(limited)
  return {
    upTo: (stream) => limited(positions.get(partitionOf(stream)) ?? start),
    partitionOf,
    least: all.reduce((low, each) => (each < low ? each : low)),
    most: all.reduce((high, each) => (each > high ? each : high)),
  }
}

/** Whether a read model stands in no partition before where it stood: it was not begun anew. */
export const hasGoneOn = (before: Standing, after: Standing): boolean => {
  const positions = new Map(after.checkpoints.map(({ partition, position }) => [partition, position]))
  return before.checkpoints.every(({ partition, position }) => (positions.get(partition) ?? 0n) >= position)
}

/** An event that the projection has gone past without. */
export interface ParkedEvent {
  readonly position: bigint
  readonly stream: string
  /** Undefined: it cannot be read. */
  readonly event: RecordedEvent | undefined
}

/**
 * Reads the log for who folds it: the events that concern these types, those in versions and under names that this code
 * does not know, too. They cannot be read, and must not be passed over as if they were not there.
 */
export interface LogReader {
  /**
   * Events between two reaches, in log order, page by page; others get their turn between two pages. From `nowhere` on, while
   * others append, it rests longer than it works: nobody holds a moment of the read model open yet. What cannot be
   * decoded, or makes `visit` throw, is noted for `refuseUnread`.
   */
  between(
    after: Reach,
    to: Reach,
    types: readonly DomainEventType[],
    visit: (event: RecordedEvent) => void,
  ): Promise<void>
  /**
   * All events of a row's origin, as far as the log goes now.
   *
   * @param wanted the others are not even decoded
   * @throws UnreadableEvent
   */
  of(
    origin: RowOrigin,
    types: readonly DomainEventType[],
    wanted?: (stored: StoredEvent) => boolean,
  ): Promise<readonly RecordedEvent[]>
  /** Undefined: it does not concern these types, or the projection goes without it. */
  parked(position: bigint, types: readonly DomainEventType[]): Promise<ParkedEvent | undefined>
  /** Visits events chosen at random, fewer when the log has fewer; noted is the same as in `between`. */
  atRandom(count: number, types: readonly DomainEventType[], visit: (event: RecordedEvent) => void): Promise<void>
  /**
   * Where a projection has gone past an event that could not be read here, and has not parked it.
   *
   * @throws UnreadableEvent
   */
  refuseUnread(reach: Reach, skipped: readonly bigint[]): void
  head(): Promise<bigint>
  /** Events that were read so far. */
  count(): number
}

const pageSize = 500

/** What operators have decided about events that the projection could not apply. */
export interface Given {
  /** The event as the projection was given it; undefined: it goes without. */
  as(stored: StoredEvent): StoredEvent | undefined
  /** Positions of events that were edited. */
  readonly edited: readonly bigint[]
}

/** The events of a projection, as it was given them. */
export const loadGiven = async (database: Queryable, projection: string): Promise<Given> => {
  const decisions = await loadDecisions(database, projection)
  const rows = await database.query<{ position: bigint }>(
    'select distinct position from platform.event_edits where projection = $1',
    [decidedName(projection)],
  )
  return {
    edited: rows.map(({ position }) => position),
    as: (stored) => {
      const decision = decisions.of(stored)
      if (!decision) return stored
      return decision.do === 'pass' ? undefined : { ...stored, type: decision.type, data: decision.data }
    },
  }
}

export const createLogReader = (
  store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'seeks' | 'countTypes'>,
  signal: AbortSignal,
  given: Given,
): LogReader => {
  let events = 0
  const unread = new Map<bigint, UnreadableEvent>()
  const pace = createPace(store.head)
  let counted: { readonly upTo: bigint; readonly names: readonly string[] } = { upTo: 0n, names: [] }

  /** As the projection was given it, if it concerns these types. */
  const givenFor = (types: readonly DomainEventType[]) => {
    const concerns = createRelevance(namesOf(...types))
    return (stored: StoredEvent): StoredEvent | undefined => {
      const event = given.as(stored)
      return event && concerns(event) ? event : undefined
    }
  }
  const decode = (stored: StoredEvent): RecordedEvent => {
    events += 1
    return reading(stored, () => decodeEvent(stored))
  }
  const visitor = (visit: (event: RecordedEvent) => void) => (stored: StoredEvent) => {
    try {
      events += 1
      visit(decodeEvent(stored))
    } catch (error) {
      unread.set(stored.position, new UnreadableEvent(stored, error))
    }
  }
  const at = async (position: bigint): Promise<StoredEvent[]> =>
    (await store.readAll({ after: position - 1n, limit: 1 })).events.filter((stored) => stored.position === position)
  /** Those of a page, and between them what has a name of these only since it was edited. */
  const withEdited = async (page: LogPage, after: bigint): Promise<readonly StoredEvent[]> => {
    const known = new Set(page.events.map(({ position }) => position))
    const more = given.edited.filter((each) => each > after && each <= page.position && !known.has(each))
    if (more.length === 0) return page.events
    const found = await Promise.all(more.map(at))
    return [...page.events, ...found.flat()].sort((a, b) => (a.position < b.position ? -1 : 1))
  }
  /** The names to ask the store for; undefined: all, as newer code may write new ones behind what was counted. */
  const namesBetween = async (after: Reach, to: Reach, types: readonly DomainEventType[]) => {
    if (to.most > counted.upTo && after.least > 0n) return undefined
    if (to.most > counted.upTo) counted = { upTo: to.most, names: [...(await store.countTypes(to.most)).keys()] }
    const known = namesOf(...types)
    const concerns = createRelevance(known)
    return [...new Set([...known, ...counted.names.filter(concerns.byName)])]
  }
  return {
    count: () => events,
    head: store.head,
    between: async (after, to, types, visit) => {
      if (after.least >= to.most) return
      const names = await namesBetween(after, to, types)
      const filter = names ? { types: names } : {}
      const wanted = givenFor(types)
      const take = visitor(visit)
      const hasTime = after === nowhere
      for (let position = after.least; position < to.most; ) {
        signal.throwIfAborted()
        const began = performance.now()
        const limit = hasTime ? Math.min(pageSize, pace.chunkEvents()) : pageSize
        const page = await store.readAll({ after: position, limit, bulk: true, ...filter })
        for (const stored of await withEdited(page, position)) {
          const { stream, position: place } = stored
          if (place <= after.upTo(stream) || place > to.upTo(stream)) continue
          const event = wanted(stored)
          if (event) take(event)
        }
        // Another store may not have in its index yet what a checkpoint has seen.
        if (page.position === position) await yieldToOthers()
        position = page.position
        await yieldToOthers()
        if (hasTime) await pace.rest(performance.now() - began, signal)
      }
    },
    of: async (origin, types, wanted = () => true) => {
      signal.throwIfAborted()
      const found = 'stream' in origin ? (await store.readStream(origin.stream)).events : await at(origin.position)
      const concerning = givenFor(types)
      return found.flatMap((stored) => (wanted(stored) ? (concerning(stored) ?? []) : [])).map(decode)
    },
    parked: async (position, types) => {
      signal.throwIfAborted()
      const [stored] = (await at(position)).flatMap((each) => givenFor(types)(each) ?? [])
      if (!stored) return undefined
      let event: RecordedEvent | undefined
      try {
        event = decode(stored)
      } catch {
        // It is why it is parked.
      }
      return { position, stream: stored.stream, event }
    },
    atRandom: async (count, types, visit) => {
      const found = await sampleLog({ store, count, types: namesOf(...types), signal })
      const wanted = givenFor(types)
      const take = visitor(visit)
      for (const stored of found) {
        const event = wanted(stored)
        if (event) take(event)
      }
    },
    refuseUnread: (reach, skipped) => {
      const parked = new Set(skipped)
      for (const [position, error] of unread)
        if (position <= reach.upTo(error.stream) && !parked.has(position)) throw error
    },
  }
}
