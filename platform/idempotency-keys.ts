import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import { createBatcher } from './batcher.ts'
import type { Database } from './database.ts'
import {
  claimStatement,
  completeStatement,
  purgeStatement,
  releaseStatement,
  renewStatement,
  seenStatement,
} from './idempotency-keys-statements.ts'
import type { Logger } from './logging.ts'

export interface KeyedRequest {
  /** Method and path: the same key elsewhere is another key. */
  readonly scope: string
  readonly key: string
  /** Hex. Bodies hold personal data and are not kept. */
  readonly bodyHash: string
}

/** A reply as it was sent. */
export interface StoredReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** `repeated`: somebody began under this command id before and did not finish, or nobody knows how it went. */
export type Claim =
  | { readonly outcome: 'claimed'; readonly commandId: string; readonly repeated: boolean }
  | { readonly outcome: 'answered'; readonly reply: StoredReply }
  | { readonly outcome: 'running' }
  | { readonly outcome: 'other-request' }

/**
 * First replies by key. A key is free -> claimed -> answered, or released and claimed again. A claim is a lease that its
 * process renews while it works, so that one left behind by a dead process falls to the next to ask. Should two work on
 * one key nevertheless, they do so under the same command id, and the log lets only one of them through.
 */
export interface IdempotencyKeys {
  claim(request: KeyedRequest): Promise<Claim>
  /** Keeps the reply for everybody who asks with this key later. */
  complete(request: KeyedRequest, reply: StoredReply): Promise<void>
  /** Lets the key be tried again, under the same command id. */
  release(request: KeyedRequest): Promise<void>
  /** Drops the keys that are too old; returns how many. */
  purge(): Promise<number>
  /** Stops renewing and purging. */
  close(): void
}

interface ClaimedRow {
  readonly scope: string
  readonly key: string
  readonly command_id: string
}
interface SeenRow extends Omit<ClaimedRow, 'command_id'> {
  readonly same: boolean
  readonly reply: StoredReply | null
}

const nameOf = ({ scope, key }: { readonly scope: string; readonly key: string }) => `${scope}\n${key}`

/**
 * @param options.leaseMs how long a claim stands without being renewed; default 6,000
 * @param options.keepMs how long a key is remembered; default 24 hours
 */
export const createIdempotencyKeys = (
  deps: { readonly database: Database; readonly logger: Logger },
  options: { readonly leaseMs?: number; readonly keepMs?: number } = {},
): IdempotencyKeys => {
  const { database, logger } = deps
  const { leaseMs = 6_000, keepMs = 24 * 60 * 60_000 } = options
  const owner = randomUUID()
  const held = new Map<string, KeyedRequest>()
  const columns = (requests: readonly KeyedRequest[]) => [
    requests.map((request) => request.scope),
    requests.map((request) => request.key),
  ]

  const claimed = createBatcher<KeyedRequest, Claim>({
    maxItems: 500,
    concurrency: 2,
    keyOf: nameOf,
    run: async (requests) => {
      const commandIds = requests.map(() => uuidv7())
      const hashes = requests.map((request) => request.bodyHash)
      const rows = await database.execute<ClaimedRow>(claimStatement, [
        ...columns(requests),
        hashes,
        commandIds,
        owner,
        leaseMs,
        keepMs,
      ])
      const mine = new Map(rows.map((row) => [nameOf(row), row.command_id]))
      const others = requests.filter((request) => !mine.has(nameOf(request)))
      const seen = new Map<string, SeenRow>()
      if (others.length > 0) {
        const found = await database.execute<SeenRow>(seenStatement, [
          ...columns(others),
          others.map((request) => request.bodyHash),
        ])
        for (const row of found) seen.set(nameOf(row), row)
      }
      return requests.map((request, index): Claim => {
        const commandId = mine.get(nameOf(request))
        if (commandId !== undefined) return { outcome: 'claimed', commandId, repeated: commandId !== commandIds[index] }
        const row = seen.get(nameOf(request))
        if (row && !row.same) return { outcome: 'other-request' }
        return row?.reply ? { outcome: 'answered', reply: row.reply } : { outcome: 'running' }
      })
    },
  })

  const completed = createBatcher<{ request: KeyedRequest; reply: StoredReply }, void>({
    maxItems: 500,
    concurrency: 2,
    run: async (items) => {
      await database.execute(completeStatement, [
        ...columns(items.map(({ request }) => request)),
        items.map(({ reply }) => JSON.stringify(reply)),
        owner,
      ])
      return items.map(() => undefined)
    },
  })

  const renew = async (): Promise<void> => {
    if (held.size === 0) return
    await database.execute(renewStatement, [...columns([...held.values()]), owner])
  }

  const purge = async (): Promise<number> => {
    let dropped = 0
    for (;;) {
      const rows = await database.query(purgeStatement, [keepMs])
      dropped += rows.length
      if (rows.length < 1_000) return dropped
    }
  }

  const every = (ms: number, what: string, work: () => Promise<unknown>) =>
    setInterval(() => {
      work().catch((error: unknown) => logger.warn({ err: error }, `${what} of idempotency keys failed`))
    }, ms).unref()
  const timers = [every(leaseMs / 3, 'the renewal', renew), every(10 * 60_000, 'the purge', purge)]

  return {
    claim: async (request) => {
      const claim = await claimed(request)
      if (claim.outcome === 'claimed') held.set(nameOf(request), request)
      return claim
    },
    complete: async (request, reply) => {
      held.delete(nameOf(request))
      await completed({ request, reply })
    },
    release: async (request) => {
      held.delete(nameOf(request))
      await database.execute(releaseStatement, [...columns([request]), owner])
    },
    purge,
    close: () => {
      for (const timer of timers) clearInterval(timer)
    },
  }
}
