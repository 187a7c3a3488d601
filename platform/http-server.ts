import type { Socket } from 'node:net'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { validate as isUuid, v7 as uuidv7 } from 'uuid'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { CommandRejected, type ErrorCode, problemOf } from '../schemas/errors.ts'
import { type ValidationProblem, validate, validateQuery } from '../schemas/validation.ts'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'

export type HttpServer = FastifyInstance

declare module 'fastify' {
  interface FastifyRequest {
    /** uuid that ties together everything that this request sets in motion; `X-Correlation-Id` when the client sent one. */
    correlationId: string
  }
}

const bodyLimitBytes = 256 * 1024

/** A request that does not match its schema, with every particular that a client needs to mend it. */
class InvalidRequest extends Error {
  readonly statusCode = 400
  readonly problems: readonly ValidationProblem[]
  constructor(part: string, problems: readonly ValidationProblem[]) {
    super(problems.map((problem) => `${part}${problem.path} ${problem.message}`).join('; '))
    this.problems = problems
  }
}

const codeOfFrameworkError: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed-json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed-json',
  FST_ERR_BAD_URL: 'route-not-found',
}

/** Sends RFC 9457 problem details; a 503 says when to come back. */
export const sendProblem = (
  reply: FastifyReply,
  code: ErrorCode,
  members: { readonly detail?: string; readonly [member: string]: unknown } = {},
): FastifyReply => {
  const problem = problemOf(code, members)
  if (problem.status === 503 && !reply.hasHeader('Retry-After')) reply.header('Retry-After', '1')
  return reply
    .code(problem.status)
    .header('Content-Type', 'application/problem+json; charset=utf-8')
    .send(JSON.stringify(problem))
}

const correlationIdOf = (request: FastifyRequest): string => {
  const given = request.headers['x-correlation-id']
  return typeof given === 'string' && isUuid(given) ? given : uuidv7()
}

/**
 * Whether a browser sent this from a page of another site. Such pages reach a loopback server too, and need no
 * permission for a POST without a body or for a WebSocket.
 */
const isForeign = ({ method, headers }: FastifyRequest): boolean => {
  const { origin, host, upgrade } = headers
  if (origin === undefined || ((method === 'GET' || method === 'HEAD') && upgrade === undefined)) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

/**
 * Bodies are JSON in UTF-8. What is not UTF-8 is refused, not repaired: a repaired name is another name.
 */
const acceptJsonOnly = (server: HttpServer): void => {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const parseJson = server.getDefaultJsonParser('error', 'error')
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const { 'content-encoding': encoding = 'identity', 'content-type': type = '' } = request.headers
    const [, charset = 'utf-8'] = /;\s*charset="?([^";\s]+)/i.exec(type) ?? []
    if (encoding !== 'identity' || !/^utf-?8$/i.test(charset))
      return done(new CommandRejected('unsupported-media-type', { detail: `${type}, content-encoding ${encoding}` }))
    let text: string
    try {
      text = utf8.decode(body as Buffer)
    } catch {
      return done(new CommandRejected('malformed-json', { detail: 'The body is not UTF-8.' }))
    }
    void parseJson(request, text, done)
  })
}

/** What Node refuses before there is a request: a broken request line, headers beyond all measure. */
const refuseRawly = (error: Error & { code?: string }, socket: Socket): void => {
  // The other end has gone, or an answer is on its way already.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) return void socket.destroy()
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const problem = problemOf('invalid-request', {
    detail: tooLarge ? 'The headers are too large.' : 'This is not HTTP.',
  })
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/**
 * The HTTP server that the roles of this process hang their routes on: one way to validate, one way to fail, a
 * correlation id on every request and reply, and a drain that refuses new work while the old finishes.
 *
 * @param trustedProxies addresses and networks (CIDR) whose `X-Forwarded-For` names the client
 */
export const createHttpServer = ({
  logger,
  metrics,
  trustedProxies = [],
}: {
  logger: Logger
  metrics: Metrics
  trustedProxies?: readonly string[]
}): HttpServer => {
  const server = Fastify({
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    bodyLimit: bodyLimitBytes,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: refuseRawly,
    // A path that cannot even be decoded passes by the error handler below.
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, codeOfFrameworkError[error.code] ?? 'invalid-request', { detail: error.message })
    },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
  })
  server.decorateRequest('correlationId', '')
  acceptJsonOnly(server)
  server.setValidatorCompiler(({ schema, httpPart }) => (value: unknown) => {
    const part = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request')
    const check = httpPart === 'querystring' ? validateQuery : validate
    const validation = check(schema as Parameters<typeof validate>[0], value)
    return validation.valid ? { value: validation.value } : { error: new InvalidRequest(part, validation.problems) }
  })
  server.addHook('onRequest', async (request, reply) => {
    request.correlationId = correlationIdOf(request)
    reply.header('X-Correlation-Id', request.correlationId)
    if (isForeign(request)) return sendProblem(reply, 'origin-not-allowed', { origin: request.headers.origin })
  })
  server.addHook('onResponse', async (request, reply) => {
    metrics.httpSeconds
      .labels(request.method, request.routeOptions.url ?? 'none', String(reply.statusCode))
      .observe(reply.elapsedTime / 1_000)
  })
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '/'
    const allowed = (['GET', 'POST', 'PUT', 'DELETE'] as const).filter(
      (method) => server.findRoute({ url: path, method }) !== null || server.hasRoute({ url: path, method }),
    )
    if (allowed.length === 0) return sendProblem(reply, 'route-not-found', { detail: `${request.method} ${path}` })
    return sendProblem(reply.header('Allow', allowed.join(', ')), 'method-not-allowed', { allowed })
  })
  server.setErrorHandler((error: FastifyError | Error, request, reply) => {
    if (error instanceof CommandRejected) return sendProblem(reply, error.code, error.details)
    if (error instanceof InvalidRequest)
      return sendProblem(reply, 'invalid-request', { detail: error.message, problems: error.problems })
    if (error instanceof EngineUnavailable) {
      logger.warn(
        { correlationId: request.correlationId, client: request.ip, error: error.message },
        'a request met an engine that is away',
      )
      return sendProblem(reply, 'engine-unavailable', { engine: error.engine })
    }
    if (error instanceof UndecodableEvent) {
      logger.warn({ correlationId: request.correlationId, error: error.message }, 'a request met an unreadable event')
      return sendProblem(reply, error.code, { detail: error.message })
    }
    const known = 'code' in error ? codeOfFrameworkError[error.code] : undefined
    if (known) return sendProblem(reply, known, { detail: error.message })
    if (error instanceof SyntaxError) return sendProblem(reply, 'malformed-json', { detail: error.message })
    if ('statusCode' in error && error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
      return sendProblem(reply, 'invalid-request', { detail: error.message })
    logger.error({ correlationId: request.correlationId, client: request.ip, err: error }, 'a request failed')
    return sendProblem(reply, 'internal-error', { correlationId: request.correlationId })
  })
  return server
}
