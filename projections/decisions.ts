import type { Queryable } from '../platform/database.ts'
import { consumerOfGeneration, scratchGeneration } from '../platform/read-model-generations.ts'
import type { StoredEvent } from '../schemas/envelope.ts'

/** What an operator decided about an event: to go without it, or to apply this in its place. */
export type Decision =
  | { readonly do: 'pass' }
  | { readonly do: 'replace'; readonly type: string; readonly data: unknown; readonly edit: number }

/** The decisions about a projection's events, as they were when they were loaded. */
export interface Decisions {
  readonly gaps: number
  /** Whether there may be one, as far as can be told without the event's id. */
  concern(place: Pick<StoredEvent, 'stream' | 'revision'>): boolean
  of(stored: StoredEvent): Decision | undefined
}

export const noDecisions: Decisions = { gaps: 0, concern: () => false, of: () => undefined }

/** Decisions are the projection's, whichever generation of it is built: `order_details@2` is `order_details`. */
export const decidedName = (projection: string): string => projection.replace(/@\d+$/, '')

const placeOf = (stream: string, revision: bigint): string => `${revision} ${stream}`
const keyOf = (stream: string, revision: bigint, eventId: string): string => `${eventId} ${placeOf(stream, revision)}`

/** Every decision about a projection's events: as many as operators have made. */
export const loadDecisions = async (database: Queryable, projection: string): Promise<Decisions> => {
  const rows = await database.query<{
    stream: string
    revision: bigint
    eventId: string
    edit: number | null
    type: string | null
    data: unknown
  }>(
    `select stream, revision, event_id as "eventId", null::integer as edit, null as type, null::json as data
     from platform.event_gaps where projection = $1
     union all (
       select distinct on (stream, revision, event_id) stream, revision, event_id, edit, type, data
       from platform.event_edits where projection = $1 order by stream, revision, event_id, edit desc)`,
    [decidedName(projection)],
  )
  if (rows.length === 0) return noDecisions
  const places = new Set<string>()
  const gaps = new Set<string>()
  const edits = new Map<string, Decision>()
  for (const { stream, revision, eventId, edit, type, data } of rows) {
    places.add(placeOf(stream, revision))
    const key = keyOf(stream, revision, eventId)
    if (edit === null || type === null) gaps.add(key)
    else edits.set(key, { do: 'replace', type, data, edit })
  }
  return {
    gaps: gaps.size,
    concern: ({ stream, revision }) => places.has(placeOf(stream, revision)),
    of: ({ stream, revision, id }) => {
      const key = keyOf(stream, revision, id)
      return gaps.has(key) ? { do: 'pass' } : edits.get(key)
    },
  }
}

/** Notes that decisions were honoured, so that their records say so; what a scratch generation does is no honour. */
export const noteHonoured = async (
  transaction: Queryable,
  projection: string,
  events: readonly Pick<StoredEvent, 'stream' | 'revision' | 'id'>[],
): Promise<void> => {
  if (projection === consumerOfGeneration(decidedName(projection), scratchGeneration)) return
  const values = [
    decidedName(projection),
    events.map(({ stream }) => stream),
    events.map(({ revision }) => revision),
    events.map(({ id }) => id),
  ]
  const these = 'unnest($2::text[], $3::bigint[], $4::uuid[]) as e(stream, revision, id)'
  await transaction.query(
    `update platform.event_gaps g set passed_at = now() from ${these}
     where g.projection = $1 and g.stream = e.stream collate "C" and g.revision = e.revision and g.event_id = e.id`,
    values,
  )
  await transaction.query(
    `update platform.event_edits r set applied_at = now() from ${these}
     where r.projection = $1 and r.stream = e.stream collate "C" and r.revision = e.revision and r.event_id = e.id
       and r.edit = (select max(o.edit) from platform.event_edits o where o.projection = r.projection
         and o.stream = r.stream and o.revision = r.revision and o.event_id = r.event_id)`,
    values,
  )
}
