import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { v7 as uuidv7 } from 'uuid'
import type { IdempotencyKeys, KeyedRequest, StoredReply } from '../platform/idempotency-keys.ts'
import type { Logger } from '../platform/logging.ts'
import type { CommandContext } from '../schemas/commands.ts'
import { CommandRejected, errors } from '../schemas/errors.ts'
import type { CommandOptions } from './commands.ts'
import { refusalReply } from './replies.ts'

/** What a request says about the command beside its content. */
export interface RequestedCommand {
  readonly commandId: string
  readonly contextFor: (actor: string) => CommandContext
  readonly options: CommandOptions
}

const revisionOf = (ifMatch: string | undefined): bigint | undefined => {
  if (ifMatch === undefined) return undefined
  const [, revision] = /^"(0|[1-9]\d{0,17})"$/.exec(ifMatch) ?? []
  if (revision === undefined) throw new CommandRejected('invalid-precondition', { given: ifMatch.slice(0, 100) })
  return BigInt(revision)
}

const keyOf = (request: FastifyRequest): string | undefined => {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key)) throw new CommandRejected('invalid-idempotency-key')
  return key
}

const traceparentOf = (request: FastifyRequest): { traceparent?: string } => {
  const { traceparent } = request.headers
  return typeof traceparent === 'string' && /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(traceparent)
    ? { traceparent }
    : {}
}

const scopeOf = (request: FastifyRequest): string =>
  `${request.method} ${(request.url.split('?')[0] ?? '/').replace(/(?<=.)\/$/, '')}`

/** The same for bodies that say the same: the order of members carries no meaning, and clients do change it. */
const canonical = (body: unknown): string =>
  JSON.stringify(body, (_, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  )

/** Worth another try with the same key: such a reply is not kept. */
const transient = (rejected: CommandRejected): boolean =>
  errors[rejected.code].status >= 500 || rejected.code === 'concurrent-update'

/**
 * Runs requests, once per idempotency key: the first reply is kept, and later requests with the key get it again, byte
 * for byte, with `Idempotency-Replayed: true`.
 */
export const createKeyedRequests = (deps: { readonly keys: IdempotencyKeys; readonly logger: Logger }) => {
  const { keys, logger } = deps

  const runOnce = async (
    keyed: KeyedRequest,
    run: (commandId: string, repeated: boolean) => Promise<StoredReply>,
  ): Promise<{ readonly reply: StoredReply; readonly replayed: boolean }> => {
    const claim = await keys.claim(keyed)
    if (claim.outcome === 'running') throw new CommandRejected('request-in-progress')
    if (claim.outcome === 'other-request') throw new CommandRejected('idempotency-key-reused')
    if (claim.outcome === 'answered') return { reply: claim.reply, replayed: true }
    let reply: StoredReply
    try {
      reply = await run(claim.commandId, claim.repeated)
    } catch (error) {
      if (!(error instanceof CommandRejected) || transient(error)) {
        await keys.release(keyed).catch((err: unknown) => logger.warn({ err }, 'an idempotency key was not released'))
        throw error
      }
      reply = refusalReply(error)
    }
    // The command is done, kept or not: whoever repeats it is recognised by its command id.
    await keys.complete(keyed, reply).catch((err: unknown) => logger.warn({ err }, 'a reply was not kept'))
    return { reply, replayed: false }
  }

  return async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (requested: RequestedCommand) => Promise<StoredReply>,
  ): Promise<FastifyReply> => {
    const key = keyOf(request)
    const expectedRevision = revisionOf(request.headers['if-match'])
    const { correlationId } = request
    const traceparent = traceparentOf(request)
    const run = (commandId: string, repeated: boolean) =>
      work({
        commandId,
        contextFor: (actor) => ({ commandId, correlationId, causationId: commandId, actor, ...traceparent }),
        options: { repeated, ...(expectedRevision === undefined ? {} : { expectedRevision }) },
      })
    const answer = async () => {
      if (key === undefined) return { reply: await run(uuidv7(), false), replayed: false }
      const bodyHash = createHash('sha256')
        .update(canonical([request.body ?? null, request.headers['if-match'] ?? null]))
        .digest('hex')
      return runOnce({ scope: scopeOf(request), key, bodyHash }, run)
    }
    const { reply: answered, replayed } = await answer()
    if (replayed) reply.header('Idempotency-Replayed', 'true')
    return reply.code(answered.status).headers(answered.headers).send(answered.body)
  }
}

export type KeyedRequests = ReturnType<typeof createKeyedRequests>
