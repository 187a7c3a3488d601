import type { Database } from '../platform/database.ts'
import { decidedName } from './decisions.ts'
import { fromJson, ParkedStreamsChanged } from './parking.ts'
import type { ProjectionSink } from './projection.ts'
import { type ReplacementRequest, replacementOf } from './replacement.ts'

/** Which parked event. */
interface Place {
  readonly projection: string
  readonly stream: string
  readonly revision: bigint
}
interface Who {
  readonly operator: string
  readonly reason: string
}

const thisEvent = 'projection = $1 and stream = $2 and revision = $3'

/** Stores a replacement beside a parked event; see `ParkedEvents.edit`. */
export const editParked = (
  database: Database,
  { projection, stream, revision }: Place,
  { operator, reason }: Who,
  request: ReplacementRequest,
): Promise<number | undefined> =>
  database.transaction(async (transaction) => {
    const find = () =>
      transaction.query<{ event: unknown }>(`select event from platform.parked_events where ${thisEvent} for update`, [
        projection,
        stream,
        revision,
      ])
    // When generations are swapped while it waits, what it has waited for is another one's afterwards.
    const row = (await find())[0] ?? (await find())[0]
    if (!row) return undefined
    const original = fromJson(row.event)
    const { type, data } = replacementOf(original, request)
    const decided = decidedName(projection)
    const [stored] = await transaction.query<{ edit: number }>(
      `insert into platform.event_edits (projection, stream, revision, event_id, edit, position, type, data, operator, reason)
       select $1, $2, $3::bigint, $4::uuid, coalesce(max(edit), 0) + 1, $5::bigint, $6, $7::json, $8, $9 from platform.event_edits
       where ${thisEvent} and event_id = $4
       returning edit`,
      [
        ...[decided, stream, revision, original.id, original.position],
        ...[type, JSON.stringify(data), operator, reason],
      ],
    )
    if (!stored) throw new Error('an edit was not stored')
    // Whichever generation of the projection has parked it.
    await transaction.query(
      `update platform.parked_events set edit = $4 where regexp_replace(projection, '@\\d+$', '') = $1 and stream = $2
         and revision = $3 and event->>'id' = $5`,
      [decided, stream, revision, stored.edit, original.id],
    )
    return stored.edit
  })

/** Takes a parked event out of the parking and of the sink's memory, and leaves a gap; false when it is not parked. */
export const discardParked = async (
  database: Database,
  sink: ProjectionSink,
  { projection, stream, revision }: Place,
  { operator, reason }: Who,
  partitionOf: ((stream: string) => number) | undefined,
): Promise<boolean> => {
  for (;;) {
    const [row] = await database.query<{ position: bigint }>(
      `select position from platform.parked_events where ${thisEvent}`,
      [projection, stream, revision],
    )
    if (!row) return false
    try {
      await sink.applyLate({
        partition: partitionOf?.(stream) ?? 0,
        events: [],
        discarded: [row.position],
        record: async (transaction) => {
          const left = await transaction.query(
            `with gone as (delete from platform.parked_events where ${thisEvent} returning *)
             insert into platform.event_gaps (projection, stream, revision, event_id, position, partition, event, error,
               sqlstate, stack, attempts, first_at, last_at, operator, reason)
             select $4, stream, revision, (event->>'id')::uuid, position, partition, event, error,
               sqlstate, stack, attempts, first_at, last_at, $5, $6 from gone
             on conflict (projection, stream, revision, event_id) do update set operator = excluded.operator,
               reason = excluded.reason, discarded_at = now()
             returning 1`,
            [projection, stream, revision, decidedName(projection), operator, reason],
          )
          if (left.length === 0) throw new ParkedStreamsChanged()
        },
      })
      return true
    } catch (error) {
      if (!(error instanceof ParkedStreamsChanged)) throw error
    }
  }
}
