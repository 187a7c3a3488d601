import type { Database, Statement } from './database.ts'
import type { EventPlace } from './log-continuity.ts'

/** How far a log has been carried to its topic. */
export interface RelayState {
  readonly position: bigint
  /** By Kafka's number of the partition: the offset after the last acknowledged message. */
  readonly ends: readonly bigint[]
  /** The last event up to the position; null before the first. */
  readonly lastEvent: EventPlace | null
}

/** Another relay has taken over: its session stands where ours stood. */
export class RelayFenced extends Error {
  constructor() {
    super('another relay has taken over')
    this.name = 'RelayFenced'
  }
}

interface Row {
  readonly position: bigint
  readonly ends: readonly string[]
  readonly lastEvent: Readonly<Record<keyof EventPlace, string>> | null
}

const toState = ({ position, ends, lastEvent }: Row): RelayState => ({
  position,
  ends: ends.map(BigInt),
  lastEvent: lastEvent && {
    id: lastEvent.id,
    stream: lastEvent.stream,
    revision: BigInt(lastEvent.revision),
    position: BigInt(lastEvent.position),
  },
})

/** $3, $4 and $5 of the statements. */
const valuesOf = ({ position, ends, lastEvent }: RelayState): readonly unknown[] => [
  position,
  ends.map(String),
  lastEvent &&
    JSON.stringify({
      id: lastEvent.id,
      stream: lastEvent.stream,
      revision: lastEvent.revision.toString(),
      position: lastEvent.position.toString(),
    }),
]

// `event_id` is what older versions read, together with `position`: they find nothing to compare there.
const saveStatement: Statement = {
  name: 'relay_save',
  text: `update platform.relays set position = $3, ends = $4::bigint[], last_event = $5::jsonb, event_id = null,
      updated_at = clock_timestamp()
    where topic = $1 and session = $2 returning set_config('synchronous_commit', 'off', true)`,
}

/** What a former relay left, and ours from now on; undefined when nobody has carried this log to this topic. */
export const takeOver = async (database: Database, topic: string, session: string): Promise<RelayState | undefined> => {
  const [row] = await database.query<Row>(
    `update platform.relays set session = $2, updated_at = clock_timestamp() where topic = $1
     returning position, ends::text[] as ends, last_event as "lastEvent"`,
    [topic, session],
  )
  return row && toState(row)
}

/** What the present relay has noted; undefined when nobody has carried this log to this topic. */
export const readRelay = async (database: Database, topic: string): Promise<RelayState | undefined> => {
  const [row] = await database.query<Row>(
    'select position, ends::text[] as ends, last_event as "lastEvent" from platform.relays where topic = $1',
    [topic],
  )
  return row && toState(row)
}

/** The topic is gone, and what was noted about it. */
export const forgetRelay = async (database: Database, topic: string): Promise<void> => {
  await database.query('delete from platform.relays where topic = $1', [topic])
}

/** Begins anew: the topic is new, or has lost messages. */
export const begin = async (database: Database, topic: string, session: string, state: RelayState): Promise<void> => {
  await database.query(
    `insert into platform.relays (topic, session, position, ends, last_event)
     values ($1, $2, $3, $4::bigint[], $5::jsonb)
     on conflict (topic) do update set session = excluded.session, position = excluded.position, ends = excluded.ends,
       last_event = excluded.last_event, event_id = null, updated_at = clock_timestamp()`,
    [topic, session, ...valuesOf(state)],
  )
}

/** @throws RelayFenced when the session is no longer ours */
export const save = async (database: Database, topic: string, session: string, state: RelayState): Promise<void> => {
  const saved = await database.execute(saveStatement, [topic, session, ...valuesOf(state)])
  if (saved.length === 0) throw new RelayFenced()
}
