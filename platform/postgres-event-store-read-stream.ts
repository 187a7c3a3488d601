import type { StoredEvent } from '../schemas/envelope.ts'
import { createBatcher } from './batcher.ts'
import type { Database, Statement } from './database.ts'
import type { EventStore, ReadStreamOptions, StreamSlice } from './event-store.ts'

/** The columns of an event under the names of its envelope: a row is a `StoredEvent`. */
const envelope = 'e.position, e.stream, e.revision, e.id, e.type, e.data, e.metadata, e.recorded_at as "recordedAt"'

/** Many streams to their ends, each from its own revision. */
const tailsStatement: Statement = {
  name: 'log_read_tails',
  text: `select ${envelope}
    from unnest($1::text[], $2::bigint[]) as r(stream, first)
    cross join lateral (select * from log.events where stream = r.stream and revision >= r.first order by revision) e`,
}

const part = (order: 'asc' | 'desc', comparison: '>=' | '<='): string => `
  select l.last, ${envelope}
  from (select max(revision) as last from log.events where stream = $1) l
  left join lateral (
    select * from log.events where stream = $1 and revision ${comparison} $2 order by revision ${order} limit $3
  ) e on true
  order by e.revision ${order}`

const partStatements = {
  forwards: { name: 'log_read_forwards', text: part('asc', '>=') },
  backwards: { name: 'log_read_backwards', text: part('desc', '<=') },
} satisfies Record<string, Statement>

const maxBigint = 9223372036854775807n

/**
 * Reads of whole streams travel together: callers that read in the same moment share a statement, callers of the same
 * stream also its rows.
 */
export const createReadStream = (database: Database): EventStore['readStream'] => {
  const readPart = async (stream: string, options: ReadStreamOptions): Promise<StreamSlice> => {
    const direction = options.direction ?? 'forwards'
    const rows = await database.execute<StoredEvent & { last: bigint | null }>(partStatements[direction], [
      stream,
      options.from ?? (direction === 'forwards' ? 0n : maxBigint),
      options.limit ?? maxBigint,
    ])
    const events = rows.map(({ last: _, ...event }) => event)
    // A stream without events in the range still gives one row, which has nothing but the last revision.
    return { revision: rows[0]?.last ?? 'none', events: events[0]?.id ? events : [] }
  }

  const readTail = createBatcher<{ stream: string; from: bigint }, StreamSlice | 'beyond'>({
    maxItems: 64,
    concurrency: 2,
    run: async (reads) => {
      // One event early: it shows that the stream reaches up to where the read begins.
      const first = new Map<string, bigint>()
      for (const { stream, from } of reads) {
        const early = from > 0n ? from - 1n : 0n
        const known = first.get(stream)
        if (known === undefined || early < known) first.set(stream, early)
      }
      const found = new Map<string, StoredEvent[]>()
      for (const event of await database.execute<StoredEvent>(tailsStatement, [
        [...first.keys()],
        [...first.values()],
      ])) {
        const events = found.get(event.stream)
        if (events) events.push(event)
        else found.set(event.stream, [event])
      }
      return reads.map(({ stream, from }) => {
        const events = found.get(stream) ?? []
        const revision = events.at(-1)?.revision
        if (revision === undefined) return from > 0n ? 'beyond' : { revision: 'none', events }
        if (revision < from - 1n) return 'beyond'
        return { revision, events: events.slice(Number(from - (events[0]?.revision ?? 0n))) }
      })
    },
  })

  return async (stream, options = {}) => {
    if (options.direction === 'backwards' || options.limit !== undefined) return readPart(stream, options)
    const slice = await readTail({ stream, from: options.from ?? 0n })
    return slice === 'beyond' ? readPart(stream, options) : slice
  }
}
