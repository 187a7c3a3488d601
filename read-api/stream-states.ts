import type { Database, Statement } from '../platform/database.ts'
import type { Instant } from './as-of.ts'

/** A stream folded up to one of its events. */
export interface StreamState<State> {
  readonly state: State
  readonly revision: bigint
  readonly position: bigint
  readonly eventId: string
  /** The latest time of the events up to there. */
  readonly recordedAt: string
}

/** Folded states of streams at every so many revisions (platform/migrations/0014_history.sql). */
export interface StreamStates {
  /** The last one that is not after an instant. */
  latest<State>(stream: string, shape: number, instant: Instant): Promise<StreamState<State> | undefined>
  /** Keeps these, and none of an earlier shape. */
  keep(stream: string, shape: number, states: readonly StreamState<unknown>[]): Promise<void>
  /** Forgets what was kept of a stream. */
  forget(stream: string): Promise<void>
}

interface Row {
  readonly state: unknown
  readonly revision: bigint
  readonly position: bigint
  readonly event_id: string
  readonly recorded_at: string
}

const latest = (by: string): Statement => ({
  name: `history_latest_state_by_${by}`,
  text: `select state, revision, position, event_id, recorded_at from history.stream_states
    where stream = $1 and shape = $2 and ${by} <= $3 order by revision desc limit 1`,
})

const latestStatements = {
  revision: latest('revision'),
  position: latest('position'),
  time: latest('recorded_at'),
} satisfies Record<Instant['by'], Statement>

const keepStatement: Statement = {
  name: 'history_keep_states',
  text: `with earlier as (delete from history.stream_states where stream = $1 and shape < $2)
    insert into history.stream_states as s (stream, shape, revision, position, event_id, recorded_at, state)
    select $1, $2, * from unnest($3::bigint[], $4::bigint[], $5::uuid[], $6::timestamptz[], $7::json[])
    on conflict (stream, shape, revision) do update set position = excluded.position, event_id = excluded.event_id,
      recorded_at = excluded.recorded_at, state = excluded.state`,
}

const forgetStatement: Statement = {
  name: 'history_forget_states',
  text: 'delete from history.stream_states where stream = $1',
}

/** No position is greater in any store. */
const maxBigint = 9223372036854775807n

const limitOf = (instant: Instant): bigint | string => {
  if (instant.by === 'time') return instant.time
  const place = instant.by === 'revision' ? instant.revision : instant.position
  return place < maxBigint ? place : maxBigint
}

export const createStreamStates = (database: Database): StreamStates => ({
  latest: async <State>(stream: string, shape: number, instant: Instant) => {
    const [row] = await database.execute<Row>(latestStatements[instant.by], [stream, shape, limitOf(instant)])
    return (
      row && {
        state: row.state as State,
        revision: row.revision,
        position: row.position,
        eventId: row.event_id,
        recordedAt: row.recorded_at,
      }
    )
  },
  keep: async (stream, shape, states) => {
    if (states.length === 0) return
    await database.execute(keepStatement, [
      stream,
      shape,
      states.map((kept) => kept.revision),
      states.map((kept) => kept.position),
      states.map((kept) => kept.eventId),
      states.map((kept) => kept.recordedAt),
      states.map((kept) => JSON.stringify(kept.state)),
    ])
  },
  forget: async (stream) => void (await database.execute(forgetStatement, [stream])),
})
