import { formatConsistencyToken } from '../platform/consistency-token.ts'
import type { StoredReply } from '../platform/idempotency-keys.ts'
import { type CommandRejected, problemOf } from '../schemas/errors.ts'
import type { CommandOutcome } from './commands.ts'

/**
 * A reply to a command that was done: revision in body and `ETag`, and the token by which reads can wait for it.
 *
 * @param logIdentity uuid of the log
 */
export const doneReply = (
  logIdentity: string,
  outcome: CommandOutcome,
  reply: { readonly status: 200 | 201; readonly location?: string; readonly body: object },
): StoredReply => ({
  status: reply.status,
  headers: {
    'Content-Type': 'application/json; charset=utf-8',
    'Consistency-Token': formatConsistencyToken(logIdentity, outcome.position),
    ...(outcome.revision < 0n ? {} : { ETag: `"${outcome.revision}"` }),
    ...(reply.location === undefined ? {} : { Location: reply.location }),
  },
  body: JSON.stringify({ ...reply.body, revision: `${outcome.revision}` }),
})

/** A refusal in the same form as every other problem. */
export const refusalReply = (rejected: CommandRejected): StoredReply => {
  const problem = problemOf(rejected.code, rejected.details)
  return {
    status: problem.status,
    headers: { 'Content-Type': 'application/problem+json; charset=utf-8' },
    body: JSON.stringify(problem),
  }
}
