import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import { type EventPlace, holdsEvent } from '../platform/log-continuity.ts'

/** How long a count is remembered, milliseconds: from the asking for a rebuild to its beginning, and over a few attempts. */
const rememberedMs = 60_000
/** So many events are counted again in less time than it takes to write them down. */
const worthKeeping = 10_000n

type Counts = ReadonlyMap<string, bigint>

interface Row {
  readonly log: string
  readonly place: { readonly id: string; readonly stream: string; readonly revision: string; readonly position: string }
  readonly counts: Readonly<Record<string, string>>
}

const total = (counts: Counts): bigint => [...counts.values()].reduce((all, each) => all + each, 0n)

const together = (one: Counts, other: Counts): Counts => {
  const counts = new Map(one)
  for (const [type, events] of other) counts.set(type, (counts.get(type) ?? 0n) + events)
  return counts
}

const without = (all: Counts, some: Counts): Counts =>
  new Map(
    [...all].flatMap(([type, events]): [string, bigint][] => {
      const left = events - (some.get(type) ?? 0n)
      return left > 0n ? [[type, left]] : []
    }),
  )

/**
 * Counting reads through the log, of which only the end is new: what was counted once is written down, with the event up to
 * which it was counted. A log that does not hold that event where it was is counted anew. What was counted a moment ago is not
 * even looked up; not for long, as an older log may be put back.
 */
export const rememberCounts = (deps: {
  readonly store: Pick<EventStore, 'countTypes' | 'identity' | 'last' | 'readAll' | 'readStream' | 'seeks'>
  readonly database: Database
  readonly now?: () => number
}): EventStore['countTypes'] => {
  const { store, database, now = () => performance.now() } = deps
  const known = new Map<bigint, { readonly at: number; readonly counts: Counts }>()

  /** What was counted once, of the log as it is now. */
  const written = async (log: string): Promise<{ readonly place: EventPlace; readonly counts: Counts } | undefined> => {
    const [row] = await database.query<Row>('select log_identity as log, place, counts from platform.counted_types')
    if (row?.log !== log) return undefined
    const { id, stream, revision, position } = row.place
    const place = { id, stream, revision: BigInt(revision), position: BigInt(position) }
    if (!(await holdsEvent(store, place))) return undefined
    return { place, counts: new Map(Object.entries(row.counts).map(([type, count]) => [type, BigInt(count)])) }
  }

  /** Undefined where looking for it would mean to read the log again. */
  const eventAt = async (upTo: bigint): Promise<EventPlace | undefined> => {
    const last = await store.last()
    if (last?.position === upTo || !store.seeks) return last?.position === upTo ? last : undefined
    const { events } = await store.readAll({ after: upTo - 1n, limit: 1 })
    return events.find(({ position }) => position === upTo)
  }

  const write = async (log: string, { id, stream, revision, position }: EventPlace, counts: Counts): Promise<void> => {
    const place = { id, stream, revision: String(revision), position: String(position) }
    const texts = Object.fromEntries([...counts].map(([type, count]) => [type, String(count)]))
    await database.query(
      `insert into platform.counted_types (log_identity, place, counts) values ($1, $2, $3)
       on conflict (only_row) do update set log_identity = excluded.log_identity, place = excluded.place,
         counts = excluded.counts, counted_at = now()`,
      [log, JSON.stringify(place), JSON.stringify(texts)],
    )
  }

  const count = async (upTo: bigint): Promise<Counts> => {
    const log = await store.identity()
    // Before it is counted: an older log that is put back meanwhile must not vouch for what was counted of another.
    const end = await eventAt(upTo)
    const before = await written(log)
    const known = before?.place.position ?? 0n
    // Back from there, when that is shorter than the whole way.
    if (known > upTo && known - upTo > upTo) return store.countTypes(upTo)
    const between = known > upTo ? await store.countTypes(known, upTo) : await store.countTypes(upTo, known)
    for (const place of [end, before?.place])
      if (place && !(await holdsEvent(store, place))) return store.countTypes(upTo)
    if (!before) {
      if (end && total(between) >= worthKeeping) await write(log, end, between)
      return between
    }
    if (known > upTo) return without(before.counts, between)
    const counts = together(before.counts, between)
    if (end && total(between) >= worthKeeping) await write(log, end, counts)
    return counts
  }

  return async (upTo, after = 0n) => {
    if (after > 0n) return store.countTypes(upTo, after)
    for (const [position, { at }] of known) if (now() - at > rememberedMs) known.delete(position)
    const counts = known.get(upTo)?.counts ?? (await count(upTo))
    if (!known.has(upTo)) known.set(upTo, { at: now(), counts })
    return counts
  }
}
