import { type Static, Type } from 'typebox'
import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { ListParkedEventsQuery, ParkedStreamParams } from '../schemas/queries.ts'
import { OperatorRequest } from '../schemas/requests.ts'
import { Digits } from '../schemas/views.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { publicData } from './event-view.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly projection: string
  readonly stream: string
  readonly revision: bigint
  readonly position: bigint
  readonly event: { readonly type?: string; readonly data?: unknown }
  readonly status: string
  readonly error: string | null
  readonly sqlstate: string | null
  readonly attempts: number
  readonly first_at: string
  readonly last_at: string
}

const statement: Statement = {
  name: 'parked_events',
  text: `select projection, stream, revision, position, event, status, error, sqlstate, attempts, first_at, last_at
    from platform.parked_events
    where ($1::text is null or projection = $1) and ($2::bigint is null or (position, projection) > ($2, $3::text))
    order by position, projection limit $4`,
}

const toParkedEvent = (row: Row) => ({
  projection: row.projection,
  stream: row.stream,
  revision: String(row.revision),
  position: String(row.position),
  type: row.event.type ?? null,
  data: publicData(row.event.data ?? null),
  status: row.status,
  error: row.error,
  sqlState: row.sqlstate,
  attempts: row.attempts,
  firstAt: row.first_at,
  lastAt: row.last_at,
})

const Key = Type.Tuple([Digits, Type.String({ maxLength: 200 })], { additionalItems: false, minItems: 2 })

/** `GET /v1/parked-events`, in log order, and `POST /v1/parked-events/:projection/:stream/retry`. */
export const registerParkedEvents = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/parked-events', {
    query: ListParkedEventsQuery,
    projections: [],
    answer: async ({ query }) => {
      const key = decodeCursor('parked-events', query, Key) ?? [null, null]
      const limit = query.limit ?? 50
      const rows = await deps.database.execute<Row>(statement, [query.projection ?? null, ...key, limit + 1])
      const { items, nextCursor } = pageOf(rows, limit, toParkedEvent, (row) =>
        encodeCursor('parked-events', query, [String(row.position), row.projection]),
      )
      return { parkedEvents: items, nextCursor }
    },
  })

  server.post(
    '/v1/parked-events/:projection/:stream/retry',
    { schema: { params: ParkedStreamParams, body: OperatorRequest } },
    async (request) => {
      const { projection, stream } = request.params as Static<typeof ParkedStreamParams>
      const who = request.body as Static<typeof OperatorRequest>
      const result = await deps.parkedEvents.retry(projection, stream, who)
      if (!result) throw new CommandRejected('parked-event-not-found', { projection, stream })
      return { projection, stream, appliedCount: result.applied, parkedCount: result.parked }
    },
  )
}
