import type { Queryable } from '../platform/database.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { decidedName } from './decisions.ts'

/** Why an event is parked. */
export interface Failure {
  readonly error: unknown
  readonly attempts: number
}

/** Another process emptied a stream's parking while its next event was about to be parked behind. */
export class ParkedStreamsChanged extends Error {}

const toJson = (stored: StoredEvent) => ({
  ...stored,
  revision: stored.revision.toString(),
  position: stored.position.toString(),
})

/** An event as the parking keeps it. */
export const fromJson = (event: unknown): StoredEvent => {
  const kept = event as Omit<StoredEvent, 'revision' | 'position'> & { revision: string; position: string }
  return { ...kept, revision: BigInt(kept.revision), position: BigInt(kept.position) }
}

/** Message, SQLSTATE and stack of whatever was thrown. */
const particulars = (error: unknown): [string, string | null, string | null] => {
  if (!(error instanceof Error)) return [String(error), null, null]
  const { code } = error as { code?: unknown }
  // U+0000 may stand in a message and fits in no text of PostgreSQL: parking must not fail over what it reports.
  const clean = (words: string): string => words.replaceAll('\u0000', '\uFFFD')
  const sqlstate = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null
  return [clean(error.message), sqlstate, error.stack === undefined ? null : clean(error.stack)]
}

/** The streams of a projection that have parked events, and how many events that is. */
export const loadParkedStreams = async (database: Queryable, projection: string): Promise<Map<string, number>> => {
  const rows = await database.query<{ stream: string; events: number }>(
    'select stream, count(*)::integer as events from platform.parked_events where projection = $1 group by stream',
    [projection],
  )
  return new Map(rows.map((row) => [row.stream, row.events]))
}

/** How much of a projection is parked, and how much it goes without. */
export const countParked = async (
  database: Queryable,
  projection: string,
): Promise<{ readonly parked: number; readonly gaps: number }> => {
  const [row] = await database.query<{ parked: number; gaps: number }>(
    `select (select count(*)::integer from platform.parked_events where projection = $1) as parked,
       (select count(*)::integer from platform.event_gaps where projection = $2) as gaps`,
    [projection, decidedName(projection)],
  )
  return row ?? { parked: 0, gaps: 0 }
}

/** Forgets everything that a projection has parked: it begins anew. What operators decided stays, and is honoured again. */
export const forgetParked = async (transaction: Queryable, projection: string): Promise<void> => {
  await transaction.query('delete from platform.parked_events where projection = $1', [projection])
}

/**
 * Whether a sink still waits for an event that is parked no more: it was put back to a state before that event came
 * late, and the event would never come again. Late events leave the sink's memory first and the parking afterwards.
 */
export const missesLateEvents = async (
  database: Queryable,
  projection: string,
  skipped: () => Promise<readonly bigint[]>,
): Promise<boolean> => {
  const before = await skipped()
  if (before.length === 0) return false
  const parked = await database.query<{ position: bigint }>(
    'select position from platform.parked_events where projection = $1 and position = any ($2::bigint[])',
    [projection, before],
  )
  const known = new Set(parked.map(({ position }) => position))
  const unknown = before.filter((position) => !known.has(position))
  if (unknown.length === 0) return false
  const still = new Set(await skipped())
  return unknown.some((position) => still.has(position))
}

/** The number of an event's last edit; 0 when there is none. The parameters are SQL. */
const lastEdit = (projection: string, stream: string, revision: string, id: string): string =>
  `coalesce((select max(d.edit) from platform.event_edits d where d.projection = ${projection}
     and d.stream = ${stream} collate "C" and d.revision = ${revision} and d.event_id = ${id}), 0)`

/** Parks an event that failed. */
export const parkFailed = async (
  transaction: Queryable,
  projection: string,
  partition: number,
  stored: StoredEvent,
  { error, attempts }: Failure,
): Promise<void> => {
  await transaction.query(
    `insert into platform.parked_events
       (projection, stream, revision, position, partition, event, status, error, sqlstate, stack, attempts, edit)
     values ($1, $2, $3, $4, $5, $6, 'failed', $7, $8, $9, $10, ${lastEdit('$11', '$2', '$3', '$12::uuid')})
     on conflict (projection, stream, revision) do update set status = 'failed', error = excluded.error,
       edit = excluded.edit, sqlstate = excluded.sqlstate, stack = excluded.stack, attempts = parked_events.attempts + excluded.attempts,
       last_at = now()`,
    [
      projection,
      stored.stream,
      stored.revision,
      stored.position,
      partition,
      JSON.stringify(toJson(stored)),
      ...particulars(error),
      attempts,
      decidedName(projection),
      stored.id,
    ],
  )
}

/**
 * Parks events behind the parked ones of their streams. Of each stream one is locked, so that nobody empties its parking
 * before these are seen in it: the sink of an engine elsewhere has nothing else that a retry would wait for.
 *
 * @throws ParkedStreamsChanged when a stream has none any more: its events can be applied after all
 */
export const parkBehind = async (
  transaction: Queryable,
  projection: string,
  partition: number,
  events: readonly StoredEvent[],
): Promise<void> => {
  const parked = await transaction.query(
    `insert into platform.parked_events (projection, stream, revision, position, partition, event, status, edit)
     select $1, e.event->>'stream', (e.event->>'revision')::bigint, (e.event->>'position')::bigint, $2, e.event, 'behind',
       ${lastEdit('$4', "(e.event->>'stream')", "(e.event->>'revision')::bigint", "(e.event->>'id')::uuid")}
     from json_array_elements($3) as e(event)
     where exists (select from platform.parked_events p where p.projection = $1 and p.stream = e.event->>'stream'
       for key share)
     on conflict (projection, stream, revision) do update set last_at = now()
     returning 1`,
    [projection, partition, JSON.stringify(events.map(toJson)), decidedName(projection)],
  )
  if (parked.length < events.length) throw new ParkedStreamsChanged()
}

export interface ParkedRow {
  readonly revision: bigint
  readonly event: unknown
  /** As it was noted here: changes with every edit from now on. */
  readonly edit: number
  /** Of the last edit, which is to be applied in its place; null: the event as it is. */
  readonly type: string | null
  readonly data: unknown
  /** Discarded by an operator, in another generation of the projection: it is gone past. */
  readonly gap: boolean
}

/**
 * The first parked events of a stream, in order, each with its replacement if it has one: the last there is, as one that
 * was made while a generation parked the event is not noted with it.
 */
export const readParkedStream = (
  database: Queryable,
  projection: string,
  stream: string,
  limit: number,
): Promise<ParkedRow[]> =>
  database.query<ParkedRow>(
    `select p.revision, p.event, p.edit, d.type, d.data,
       exists (select from platform.event_gaps g where g.projection = $4 and g.stream = p.stream
         and g.revision = p.revision and g.event_id = (p.event->>'id')::uuid) as gap
     from platform.parked_events p
     left join lateral (
       select e.type, e.data from platform.event_edits e where e.projection = $4 and e.stream = p.stream
         and e.revision = p.revision and e.event_id = (p.event->>'id')::uuid order by e.edit desc limit 1) d on true
     where p.projection = $1 and p.stream = $2 order by p.revision limit $3`,
    [projection, stream, limit, decidedName(projection)],
  )

/**
 * Takes events out of the parking.
 *
 * @throws ParkedStreamsChanged when somebody else took one of them meanwhile, or edited it
 */
export const drainParked = async (
  transaction: Queryable,
  projection: string,
  stream: string,
  parked: readonly Pick<ParkedRow, 'revision' | 'edit'>[],
): Promise<void> => {
  const gone = await transaction.query(
    `delete from platform.parked_events p using unnest($3::bigint[], $4::integer[]) t(revision, edit)
     where p.projection = $1 and p.stream = $2 and p.revision = t.revision and p.edit = t.edit
     returning 1`,
    [projection, stream, parked.map(({ revision }) => revision), parked.map(({ edit }) => edit)],
  )
  if (gone.length < parked.length) throw new ParkedStreamsChanged()
}

/** Notes one more attempt that failed. */
export const failedAgain = async (
  database: Queryable,
  projection: string,
  stream: string,
  revision: bigint,
  error: unknown,
): Promise<void> => {
  await database.query(
    `update platform.parked_events set status = 'failed', error = $4, sqlstate = $5, stack = $6,
       attempts = attempts + 1, last_at = now()
     where projection = $1 and stream = $2 and revision = $3`,
    [projection, stream, revision, ...particulars(error)],
  )
}
