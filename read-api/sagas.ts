import { Type } from 'typebox'
import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { Timestamp, Uuid } from '../schemas/primitives.ts'
import { ListSagasQuery, OrderIdParams } from '../schemas/queries.ts'
import { fulfilmentStream } from '../schemas/streams.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { toEventView } from './event-view.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly order_id: string
  readonly customer_id: string
  readonly status: string
  readonly waiting_for: string | null
  readonly parked_step: string | null
  readonly error: string | null
  readonly saga_version: number
  readonly revision: bigint
  readonly started_at: string
  readonly updated_at: string
  readonly attempts: number
}

/** No progress for so long, while it is the saga's own turn, makes an instance stuck; the watchdog sees it alike. */
const patience = "interval '60 seconds'"

const isStuck = `(status = 'parked'
  or (status = 'running' and updated_at < now() - ${patience})
  or (status = 'waiting' and exists (
    select from saga.timers t where t.order_id = i.order_id and t.due_at < now() - ${patience})))`

const columns = `order_id, customer_id, status, waiting_for, parked_step, error, saga_version, revision, started_at,
  updated_at, attempts`

const listStatement: Statement = {
  name: 'sagas',
  text: `select ${columns} from saga.instances i
    where ($1::text is null or status = $1) and ($2::boolean is null or $2 = coalesce(${isStuck}, false))
      and ($3::timestamptz is null or (started_at, order_id) < ($3, $4::uuid))
    order by started_at desc, order_id desc limit $5`,
}

const oneStatement: Statement = { name: 'saga', text: `select ${columns} from saga.instances where order_id = $1` }

const toSaga = (row: Row) => ({
  orderId: row.order_id,
  revision: String(row.revision),
  customerId: row.customer_id,
  status: row.status,
  waitingFor: row.waiting_for,
  parkedStep: row.parked_step,
  error: row.error,
  attempts: row.attempts,
  sagaVersion: row.saga_version,
  startedAt: row.started_at,
  updatedAt: row.updated_at,
})

const Key = Type.Tuple([Timestamp, Uuid], { additionalItems: false, minItems: 2 })

/** `GET /v1/sagas`, newest first, and `GET /v1/sagas/:orderId` with everything that the saga recorded. */
export const registerSagas = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/sagas', {
    query: ListSagasQuery,
    projections: ['order-fulfilment'],
    answer: async ({ query }) => {
      const key = decodeCursor('sagas', query, Key) ?? [null, null]
      const limit = query.limit ?? 50
      const values = [query.status ?? null, query.stuck ?? null, ...key, limit + 1]
      const rows = await deps.database.execute<Row>(listStatement, values)
      const { items, nextCursor } = pageOf(rows, limit, toSaga, (row) =>
        encodeCursor('sagas', query, [row.started_at, row.order_id]),
      )
      return { sagas: items, nextCursor }
    },
  })

  addReadRoute(server, deps, '/v1/sagas/:orderId', {
    params: OrderIdParams,
    projections: ['order-fulfilment'],
    answer: async ({ params, missing }) => {
      const [[row], { events }] = await Promise.all([
        deps.database.execute<Row>(oneStatement, [params.orderId]),
        deps.store.readStream(fulfilmentStream(params.orderId), { limit: 1_000 }),
      ])
      if (!row && events.length === 0) throw missing('saga-not-found')
      return {
        orderId: params.orderId,
        saga: row ? toSaga(row) : null,
        events: events.map((stored) => ({
          revision: String(stored.revision),
          position: String(stored.position),
          ...toEventView(stored, decodeEvent),
        })),
      }
    },
  })
}
