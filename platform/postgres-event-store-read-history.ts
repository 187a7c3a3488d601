import type { StoredFact } from '../schemas/envelope.ts'
import { createBatcher } from './batcher.ts'
import type { Database, Statement } from './database.ts'
import type { EventStore, StreamHistory } from './event-store.ts'

/** One row per stream: a row per event would cost the client more than what is in it. */
const historiesStatement: Statement = {
  name: 'log_read_histories',
  text: `select r.stream, last.id, last.revision, last.position, whole.types, whole.data
    from unnest($1::text[]) as r(stream)
    cross join lateral (
      select id, revision, position from log.events where stream = r.stream order by revision desc limit 1
    ) last
    cross join lateral (
      select string_agg(type, E'\\n') as types, json_agg(data) as data
      from (select type, data from log.events where stream = r.stream order by revision) e
    ) whole`,
}

interface Row {
  readonly stream: string
  readonly id: string
  readonly revision: bigint
  readonly position: bigint
  /** One a line: names have no line break. */
  readonly types: string
  readonly data: readonly unknown[]
}

const toHistory = ({ id, revision, position, types, data }: Row): StreamHistory => ({
  last: { id, revision, position },
  events: types.split('\n').map((type, index): StoredFact => ({ type, data: data[index] })),
})

/** Reads whole streams, those that are asked for in the same moment in one statement. */
export const createReadHistory = (database: Database): EventStore['readHistory'] =>
  createBatcher<string, StreamHistory>({
    // One at a time: two smaller ones would take turns with the appends, and each pays its own round trip.
    maxItems: 64,
    concurrency: 1,
    run: async (streams) => {
      const rows = await database.execute<Row>(historiesStatement, [[...new Set(streams)]])
      const found = new Map(rows.map((row) => [row.stream, toHistory(row)]))
      return streams.map((stream) => found.get(stream) ?? { last: undefined, events: [] })
    },
  })
