import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Queryable } from '../platform/database.ts'
import type { EventStore, LogPage } from '../platform/event-store.ts'
import { isSealed, unseal } from '../platform/partitioning.ts'
import type { Standing } from '../platform/standing.ts'
import { decodeEvent } from '../schemas/codec.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { DomainEventType } from '../schemas/events.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { decidedName, loadDecisions } from './decisions.ts'
import { sampleLog } from './verify-log-sample.ts'
import type { RowOrigin } from './verify-model.ts'

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

/** Reads the log for who folds it. */
export interface LogReader {
  /** Events between two reaches, in log order, page by page; others get their turn between two pages. */
  between(
    after: Reach,
    to: Reach,
    types: readonly DomainEventType[],
    visit: (event: RecordedEvent) => void,
  ): Promise<void>
  /** All events of a row's origin, of these types, as far as the log goes now. */
  of(origin: RowOrigin, types: readonly DomainEventType[]): Promise<readonly RecordedEvent[]>
  /** Events chosen at random; fewer when the log has fewer. */
  atRandom(count: number, types: readonly DomainEventType[]): Promise<readonly RecordedEvent[]>
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
  store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'seeks'>,
  signal: AbortSignal,
  given: Given,
): LogReader => {
  let events = 0
  /** As the projection was given it, if it is one of these. */
  const decode = (stored: StoredEvent, names: ReadonlySet<string>): RecordedEvent[] => {
    const event = given.as(stored)
    if (!event || !names.has(event.type)) return []
    events += 1
    return [decodeEvent(event)]
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
  return {
    count: () => events,
    head: store.head,
    between: async (after, to, types, visit) => {
      const names = namesOf(...types)
      const wanted = new Set(names)
      for (let position = after.least; position < to.most; ) {
        signal.throwIfAborted()
        const page = await store.readAll({ after: position, limit: pageSize, types: names, bulk: true })
        for (const stored of await withEdited(page, position)) {
          const { stream, position: place } = stored
          if (place > after.upTo(stream) && place <= to.upTo(stream)) decode(stored, wanted).forEach(visit)
        }
        // Another store may not have in its index yet what a checkpoint has seen.
        if (page.position === position) await yieldToOthers()
        position = page.position
        await yieldToOthers()
      }
    },
    of: async (origin, types) => {
      signal.throwIfAborted()
      const names = new Set(namesOf(...types))
      const found = 'stream' in origin ? (await store.readStream(origin.stream)).events : await at(origin.position)
      return found.flatMap((stored) => decode(stored, names))
    },
    atRandom: async (count, types) => {
      const names = namesOf(...types)
      const found = await sampleLog({ store, count, types: names, signal })
      const wanted = new Set(names)
      return found.flatMap((stored) => decode(stored, wanted))
    },
  }
}
