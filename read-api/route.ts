import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { parseConsistencyToken } from '../platform/consistency-token.ts'
import type { Database, Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { CommandRejected, type ErrorCode } from '../schemas/errors.ts'
import { strict } from '../schemas/primitives.ts'
import { overReadModels } from './absent-read-model.ts'
import type { ReadApiDependencies } from './dependencies.ts'

/** How long a read waits for its consistency token unless it says otherwise, milliseconds. */
export const defaultWaitMs = 2_000

const nothing = strict({})

const parkedStatement: Statement = {
  name: 'token_parked',
  text: 'select from platform.parked_events where position = $1 and projection = any ($2::text[]) limit 1',
}

/** Whether one of these projections has gone past the event at a position without applying it. */
const isParked = async (database: Database, projections: readonly string[], position: bigint): Promise<boolean> =>
  projections.length > 0 && (await database.execute(parkedStatement, [position, projections])).length > 0

export interface Read<Params, Query> {
  readonly params: Params
  readonly query: Query
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /**
   * The refusal to throw when there is nothing to show: while the read model lags behind the caller's token, "not yet"
   * is the truth and "there is none" may be a lie.
   */
  missing(code: ErrorCode, details?: Readonly<Record<string, unknown>>): CommandRejected
}

export interface ReadRoute<Params extends TSchema, Query extends TSchema> {
  readonly params?: Params
  readonly query?: Query
  /** The projections behind the answer: those that a consistency token waits for. */
  readonly projections: readonly string[]
  /** Whether a question is answered from the log itself, where nothing has to be waited for. */
  readonly fromLog?: (query: Static<Query>) => boolean
  readonly answer: (read: Read<Static<Params>, Static<Query>>) => Promise<unknown>
}

/**
 * Registers a GET route: validates, waits for the consistency token, answers. `Consistency: current` or `stale` tells
 * whether the read model (or the log, where the answer is from there) had reached the token when it was asked; a read
 * model that has parked the very event has not.
 */
export const addReadRoute = <Params extends TSchema, Query extends TSchema>(
  server: HttpServer,
  deps: Pick<ReadApiDependencies, 'store' | 'consistency' | 'database'>,
  path: string,
  route: ReadRoute<Params, Query>,
): void => {
  const waitForToken = async (request: FastifyRequest, reply: FastifyReply): Promise<boolean> => {
    const text = request.headers['consistency-token']
    if (text === undefined) return false
    const token = parseConsistencyToken(await deps.store.identity(), String(text))
    if (!token) throw new CommandRejected('invalid-consistency-token')
    if (route.fromLog?.(request.query as Static<Query>)) {
      const current = (await deps.store.head()) >= token.position
      reply.header('Consistency', current ? 'current' : 'stale')
      return !current
    }
    const { waitMs = defaultWaitMs } = request.query as { waitMs?: number }
    const gone = new AbortController()
    const abort = () => gone.abort()
    reply.raw.once('close', abort)
    const reached = await deps.consistency.waitFor(route.projections, token.position, waitMs, gone.signal)
    reply.raw.off('close', abort)
    const current = reached && !(await isParked(deps.database, route.projections, token.position))
    reply.header('Consistency', current ? 'current' : 'stale')
    return !current
  }

  server.get(
    path,
    { schema: { params: route.params ?? nothing, querystring: route.query ?? nothing } },
    async (request, reply) => {
      const stale = await waitForToken(request, reply)
      const missing = (code: ErrorCode, details: Readonly<Record<string, unknown>> = {}) =>
        stale ? new CommandRejected('not-yet-visible') : new CommandRejected(code, details)
      return overReadModels(() =>
        route.answer({
          params: request.params as Static<Params>,
          query: request.query as Static<Query>,
          request,
          reply,
          missing,
        }),
      )
    },
  )
}
