import { Type } from 'typebox'
import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { OrderIdParams, PageQuery } from '../schemas/queries.ts'
import { Digits } from '../schemas/views.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly position: bigint
  readonly stream: string
  readonly revision: bigint
  readonly type: string
  readonly recorded_at: string
  readonly actor: string
  readonly event_id: string
  readonly command_id: string
  readonly causation_id: string
  readonly correlation_id: string
  readonly data: unknown
}

const statement: Statement = {
  name: 'order_timeline',
  text: `select position, stream, revision, type, recorded_at, actor, event_id, command_id, causation_id,
      correlation_id, data
    from order_timeline.entries where order_id = $1 and position > $2 order by position limit $3`,
}

const toEntry = (row: Row) => ({
  position: String(row.position),
  stream: row.stream,
  revision: String(row.revision),
  type: row.type,
  recordedAt: row.recorded_at,
  eventId: row.event_id,
  data: row.data,
  causes: {
    actor: row.actor,
    commandId: row.command_id,
    causationId: row.causation_id,
    correlationId: row.correlation_id,
  },
})

const Key = Type.Tuple([Digits], { additionalItems: false, minItems: 1 })

/** `GET /v1/orders/:orderId/timeline`: everything that happened to the order, oldest first, with its causes. */
export const registerTimeline = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/orders/:orderId/timeline', {
    params: OrderIdParams,
    query: PageQuery,
    projections: ['order_timeline'],
    answer: async ({ params, query, missing }) => {
      const question = { ...query, ...params }
      const [after = '0'] = decodeCursor('timeline', question, Key) ?? []
      const limit = query.limit ?? 50
      const rows = await deps.database.execute<Row>(statement, [params.orderId, after, limit + 1])
      if (rows.length === 0 && after === '0') throw missing('order-not-found')
      const { items, nextCursor } = pageOf(rows, limit, toEntry, (row) =>
        encodeCursor('timeline', question, [String(row.position)]),
      )
      return { entries: items, nextCursor }
    },
  })
}
