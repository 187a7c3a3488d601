import type { Database, Statement } from './database.ts'
import type { EventStore } from './event-store.ts'
import { createBulkPages } from './postgres-event-store-read-bulk.ts'
import { createReadHistory } from './postgres-event-store-read-history.ts'
import { readPage } from './postgres-event-store-read-page.ts'
import { createReadStream } from './postgres-event-store-read-stream.ts'

const headStatement: Statement = { name: 'log_head', text: 'select coalesce(max(position), 0) as head from log.events' }
const lastStatement: Statement = {
  name: 'log_last',
  text: 'select id, stream, revision, position from log.events order by position desc limit 1',
}
const identityStatement: Statement = { name: 'log_identity', text: 'select id from log.identity' }

const countStatement =
  'select type, count(*) as events from log.events where position > $2 and position <= $1 group by type'
/** The whole log is counted. */
const countTimeoutMs = 10 * 60_000

/** A filtered page looks at so many positions at most: a rare type costs many short statements, not an endless one. */
const stretch = 10_000n

export const createReads = (database: Database): Omit<EventStore, 'append' | 'subscribe' | 'seeks' | 'splits'> => {
  const head = async (): Promise<bigint> => {
    const [row] = await database.execute<{ head: bigint }>(headStatement)
    return row?.head ?? 0n
  }
  const readBulk = createBulkPages(database)
  return {
    readStream: createReadStream(database),
    readHistory: createReadHistory(database),
    readAll: async ({ after, limit, types, bulk, upTo: known, ...how }) => {
      const read = (only?: { readonly upTo: bigint; readonly types: readonly string[] }) =>
        bulk ? readBulk(after, limit, { only, ...how }) : readPage(database, after, limit, { only, ...how })
      if (!types) {
        if (how.share) throw new RangeError('a share of the streams is read of some types')
        const { events, json } = await read()
        return { events, ...(json ? { json } : {}), position: events.at(-1)?.position ?? after }
      }
      // The head is read first: the log up to it never changes, and nothing is claimed to have been seen beyond it.
      const end = known ?? (await head())
      const looked = bulk ? 10n * stretch : stretch
      const upTo = end < after + looked ? end : after + looked
      if (upTo <= after) return { events: [], position: after }
      const { events, json, full } = await read({ upTo, types })
      return { events, ...(json ? { json } : {}), position: full ? (events.at(-1)?.position ?? upTo) : upTo }
    },
    countTypes: async (upTo, after = 0n) => {
      const rows = await database.transaction(
        async (transaction) => {
          // It has time, and others need the other processors.
          await transaction.query('set local max_parallel_workers_per_gather = 0')
          return transaction.query<{ type: string; events: bigint }>(countStatement, [upTo, after])
        },
        { statementTimeoutMs: countTimeoutMs },
      )
      return new Map(rows.map(({ type, events }) => [type, events]))
    },
    head,
    last: async () => {
      const [row] = await database.execute<NonNullable<Awaited<ReturnType<EventStore['last']>>>>(lastStatement)
      return row
    },
    identity: async () => {
      const [row] = await database.execute<{ id: string }>(identityStatement)
      if (!row) throw new Error('log.identity is empty')
      return row.id
    },
  }
}
