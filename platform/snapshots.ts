import { createBatcher } from './batcher.ts'
import type { Database, Statement } from './database.ts'

/** The folded state of a stream at one of its events. */
export interface Snapshot {
  readonly stream: string
  readonly revision: bigint
  /** The event at `revision`, by which a log that was restored to an older state is recognised. */
  readonly eventId: string
  /** Version of the state's form; another one is of no use. */
  readonly shape: number
  readonly state: unknown
}

/** Snapshots are a short cut and never the truth: losing any of them costs time only. */
export interface SnapshotStore {
  /** The snapshot of a stream in this shape. Concurrent calls share a query. */
  load(stream: string, shape: number): Promise<Snapshot | undefined>
  /** Keeps the newest of each stream. The streams of one call must differ. */
  save(snapshots: readonly Snapshot[]): Promise<void>
}

interface Row {
  readonly stream: string
  readonly revision: bigint
  readonly event_id: string
  readonly shape: number
  readonly state: unknown
}

const loadStatement: Statement = {
  name: 'snapshots_load',
  text: `select stream, revision, event_id, shape, state from platform.snapshots
    where stream = any ($1::text[]) and event_id is not null`,
}

const saveStatement: Statement = {
  name: 'snapshots_save',
  text: `insert into platform.snapshots as s (stream, revision, event_id, shape, state)
    select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::integer[], $5::json[])
    on conflict (stream) do update set
      revision = excluded.revision, event_id = excluded.event_id, shape = excluded.shape, state = excluded.state
    where excluded.shape <> s.shape or excluded.revision > s.revision`,
}

export const createSnapshotStore = (database: Database): SnapshotStore => {
  const load = createBatcher<string, Row | undefined>({
    maxItems: 500,
    concurrency: 4,
    run: async (streams) => {
      const rows = await database.execute<Row>(loadStatement, [streams])
      const byStream = new Map(rows.map((row) => [row.stream, row]))
      return streams.map((stream) => byStream.get(stream))
    },
  })
  return {
    load: async (stream, shape) => {
      const row = await load(stream)
      if (!row || row.shape !== shape) return undefined
      return { stream, revision: row.revision, eventId: row.event_id, shape, state: row.state }
    },
    save: async (snapshots) => {
      await database.execute(saveStatement, [
        snapshots.map((snapshot) => snapshot.stream),
        snapshots.map((snapshot) => snapshot.revision),
        snapshots.map((snapshot) => snapshot.eventId),
        snapshots.map((snapshot) => snapshot.shape),
        snapshots.map((snapshot) => JSON.stringify(snapshot.state)),
      ])
    },
  }
}
