import type { Database, Statement } from './database.ts'

/** How far a log has been carried to its topic. */
export interface RelayState {
  readonly position: bigint
  /** By Kafka's number of the partition: the offset after the last acknowledged message. */
  readonly ends: readonly bigint[]
  /** The last event up to the position. */
  readonly eventId: string | null
}

/** Another relay has taken over: its session stands where ours stood. */
export class RelayFenced extends Error {
  constructor() {
    super('another relay has taken over')
    this.name = 'RelayFenced'
  }
}

const columns = 'position, ends::text[] as ends, event_id as "eventId"'
const saveStatement: Statement = {
  name: 'relay_save',
  text: `update platform.relays set position = $3, ends = $4::bigint[], event_id = $5, updated_at = clock_timestamp()
    where topic = $1 and session = $2 returning set_config('synchronous_commit', 'off', true)`,
}

/** What a former relay left, and ours from now on; undefined when nobody has carried this log to this topic. */
export const takeOver = async (database: Database, topic: string, session: string): Promise<RelayState | undefined> => {
  const [row] = await database.query<Omit<RelayState, 'ends'> & { ends: string[] }>(
    `update platform.relays set session = $2, updated_at = clock_timestamp() where topic = $1 returning ${columns}`,
    [topic, session],
  )
  return row && { ...row, ends: row.ends.map(BigInt) }
}

/** Begins anew: the topic is new, or has lost messages. */
export const begin = async (database: Database, topic: string, session: string, state: RelayState): Promise<void> => {
  await database.query(
    `insert into platform.relays (topic, session, position, ends, event_id) values ($1, $2, $3, $4::bigint[], $5)
     on conflict (topic) do update set session = excluded.session, position = excluded.position, ends = excluded.ends,
       event_id = excluded.event_id, updated_at = clock_timestamp()`,
    [topic, session, state.position, state.ends.map(String), state.eventId],
  )
}

/** @throws RelayFenced when the session is no longer ours */
export const save = async (database: Database, topic: string, session: string, state: RelayState): Promise<void> => {
  const saved = await database.execute(saveStatement, [
    topic,
    session,
    state.position,
    state.ends.map(String),
    state.eventId,
  ])
  if (saved.length === 0) throw new RelayFenced()
}
