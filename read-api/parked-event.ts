import type { Database, Statement } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import { publicData } from '../schemas/withheld.ts'

/** An event as the parking keeps it: positions are text. */
export interface KeptEvent {
  readonly id?: string
  readonly type?: string
  readonly data?: unknown
  readonly recordedAt?: string
  readonly metadata?: { readonly correlationId?: string; readonly causationId?: string; readonly actor?: string }
}

interface PlaceRow {
  readonly position: bigint
  readonly event: KeptEvent
  readonly status: string
  readonly error: string | null
  readonly sqlstate: string | null
  readonly stack: string | null
  readonly attempts: number
  readonly first_at: string
  readonly last_at: string
  readonly operator: string | null
  readonly reason: string | null
  readonly discarded_at: string | null
  readonly passed_at: string | null
}

interface EditRow {
  readonly edit: number
  readonly event_id: string
  readonly position: bigint
  readonly type: string
  readonly data: unknown
  readonly operator: string
  readonly reason: string
  readonly edited_at: string
  readonly applied_at: string | null
}

const common = 'position, event, error, sqlstate, stack, attempts, first_at, last_at'
const placeStatement: Statement = {
  name: 'parked_event',
  text: `select ${common}, status, null as operator, null as reason, null::timestamptz as discarded_at,
      null::timestamptz as passed_at
    from platform.parked_events where projection = $1 and stream = $2 and revision = $3
    union all
    (select ${common}, 'discarded', operator, reason, discarded_at, passed_at
    from platform.event_gaps where projection = regexp_replace($1, '@\\d+$', '') and stream = $2 and revision = $3
    order by discarded_at desc)`,
}
const editsStatement: Statement = {
  name: 'parked_event_edits',
  text: `select edit, event_id, position, type, data, operator, reason, edited_at, applied_at
    from platform.event_edits where projection = regexp_replace($1, '@\\d+$', '') and stream = $2 and revision = $3
    order by edited_at, edit`,
}

const toEdit = (row: EditRow) => ({
  edit: row.edit,
  type: row.type,
  data: publicData(row.data),
  operator: row.operator,
  reason: row.reason,
  editedAt: row.edited_at,
  appliedAt: row.applied_at,
})

/** The event of an edit that is parked no more, as the log has it. */
const fromLog = async (
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  revision: bigint,
  eventId: string,
): Promise<KeptEvent> => {
  const { events } = await store.readStream(stream, { from: revision, limit: 1 })
  const [stored] = events
  return stored?.id === eventId && stored.revision === revision ? stored : { id: eventId }
}

/**
 * Everything about one event that a projection has parked, goes without, or was given a replacement for; undefined when
 * it is none of these.
 */
export const showParkedEvent = async (
  deps: { readonly database: Database; readonly store: Pick<EventStore, 'readStream'> },
  projection: string,
  stream: string,
  revision: string,
) => {
  const key = [projection, stream, revision]
  const [[row], edits] = await Promise.all([
    deps.database.execute<PlaceRow>(placeStatement, key),
    deps.database.execute<EditRow>(editsStatement, key),
  ])
  const last = edits.at(-1)
  if (!row && !last) return undefined
  const event = row?.event ?? (last && (await fromLog(deps.store, stream, BigInt(revision), last.event_id))) ?? {}
  return {
    projection,
    stream,
    revision,
    position: String(row?.position ?? last?.position),
    status: row?.status ?? 'edited',
    event: {
      id: event.id ?? null,
      type: event.type ?? null,
      recordedAt: event.recordedAt ?? null,
      actor: event.metadata?.actor ?? null,
      correlationId: event.metadata?.correlationId ?? null,
      causationId: event.metadata?.causationId ?? null,
      data: publicData(event.data ?? null),
    },
    edits: edits.filter((edit) => edit.event_id === event.id).map(toEdit),
    error: row?.error ?? null,
    sqlState: row?.sqlstate ?? null,
    stack: row?.stack ?? null,
    attempts: row?.attempts ?? null,
    firstAt: row?.first_at ?? null,
    lastAt: row?.last_at ?? null,
    discarded: row?.discarded_at
      ? { operator: row.operator, reason: row.reason, discardedAt: row.discarded_at, passedAt: row.passed_at }
      : null,
  }
}
