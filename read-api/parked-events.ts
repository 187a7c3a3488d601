import { type Static, Type } from 'typebox'
import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { ListParkedEventsQuery, ParkedEventParams, ParkedStreamParams } from '../schemas/queries.ts'
import { EditParkedEventRequest, OperatorRequest } from '../schemas/requests.ts'
import { Digits } from '../schemas/views.ts'
import { publicData } from '../schemas/withheld.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { type KeptEvent, showParkedEvent } from './parked-event.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly projection: string
  readonly stream: string
  readonly revision: bigint
  readonly position: bigint
  readonly event: KeptEvent
  readonly status: string
  readonly error: string | null
  readonly sqlstate: string | null
  readonly attempts: number | null
  readonly first_at: string | null
  readonly last_at: string | null
  readonly operator: string | null
  readonly reason: string | null
  readonly decided_at: string | null
  readonly honoured_at: string | null
}

const parked = `select projection, stream, revision, position, event, status, error, sqlstate, attempts, first_at, last_at,
    null as operator, null as reason, null::timestamptz as decided_at, null::timestamptz as honoured_at
  from platform.parked_events`
const discarded = `select projection, stream, revision, position, event, 'discarded' as status, error, sqlstate, attempts,
    first_at, last_at, operator, reason, discarded_at as decided_at, passed_at as honoured_at
  from platform.event_gaps`
const edited = `select distinct on (position, projection, stream, revision, event_id) projection, stream, revision, position,
    json_build_object('id', event_id, 'type', type, 'data', data) as event, 'edited' as status, null as error,
    null as sqlstate, null::integer as attempts, null::timestamptz as first_at, null::timestamptz as last_at,
    operator, reason, edited_at as decided_at, applied_at as honoured_at
  from platform.event_edits order by position, projection, stream, revision, event_id, edit desc`

const page = (name: string, source: string): Statement => ({
  name: `parked_events_${name}`,
  text: `select * from (${source}) e
    where ($1::text is null or projection = $1) and ($2::bigint is null or (position, projection) > ($2, $3::text))
    order by position, projection limit $4`,
})
const statements: Record<NonNullable<ListParkedEventsQuery['status']>, Statement> = {
  parked: page('parked', parked),
  failed: page('failed', `${parked} where status = 'failed'`),
  behind: page('behind', `${parked} where status = 'behind'`),
  edited: page('edited', edited),
  discarded: page('discarded', discarded),
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
  ...(row.decided_at === null
    ? {}
    : { operator: row.operator, reason: row.reason, decidedAt: row.decided_at, honouredAt: row.honoured_at }),
})

const Key = Type.Tuple([Digits, Type.String({ maxLength: 200 })], { additionalItems: false, minItems: 2 })

type Place = Static<typeof ParkedEventParams>

/** `/v1/parked-events`: what projections have parked, in log order, and what operators do about it. */
export const registerParkedEvents = (server: HttpServer, deps: ReadApiDependencies): void => {
  const show = async ({ projection, stream, revision }: Place) => {
    const found = await showParkedEvent(deps, projection, stream, revision)
    if (!found) throw new CommandRejected('parked-event-not-found', { projection, stream, revision })
    return found
  }

  addReadRoute(server, deps, '/v1/parked-events', {
    query: ListParkedEventsQuery,
    projections: [],
    answer: async ({ query }) => {
      const key = decodeCursor('parked-events', query, Key) ?? [null, null]
      const limit = query.limit ?? 50
      const statement = statements[query.status ?? 'parked']
      const rows = await deps.database.execute<Row>(statement, [query.projection ?? null, ...key, limit + 1])
      const { items, nextCursor } = pageOf(rows, limit, toParkedEvent, (row) =>
        encodeCursor('parked-events', query, [String(row.position), row.projection]),
      )
      return { parkedEvents: items, nextCursor }
    },
  })

  addReadRoute(server, deps, '/v1/parked-events/:projection/:stream/:revision', {
    params: ParkedEventParams,
    projections: [],
    answer: ({ params }) => show(params),
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

  server.post(
    '/v1/parked-events/:projection/:stream/:revision/edit',
    { schema: { params: ParkedEventParams, body: EditParkedEventRequest } },
    async (request) => {
      const place = request.params as Place
      const { projection, stream, revision } = place
      const body = request.body as Static<typeof EditParkedEventRequest>
      const edit = await deps.parkedEvents.edit(projection, stream, BigInt(revision), body)
      if (edit === undefined) throw new CommandRejected('parked-event-not-found', { projection, stream, revision })
      return show(place)
    },
  )

  server.post(
    '/v1/parked-events/:projection/:stream/:revision/discard',
    { schema: { params: ParkedEventParams, body: OperatorRequest } },
    async (request) => {
      const place = request.params as Place
      const { projection, stream, revision } = place
      const who = request.body as Static<typeof OperatorRequest>
      const parkedCount = await deps.parkedEvents.discard(projection, stream, BigInt(revision), who)
      if (parkedCount === undefined) throw new CommandRejected('parked-event-not-found', place)
      return { ...(await show(place)), parkedCount }
    },
  )
}
