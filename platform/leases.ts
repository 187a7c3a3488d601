import { setMaxListeners } from 'node:events'
import type pg from 'pg'
import { type Database, endConnection } from './database.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'

/** The right to be the only one that does something, held until it is released or lost with its connection. */
export interface Lease {
  /** Aborts when the connection that held the lease is gone: somebody else may hold it now. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

export interface Leases {
  /** Waits until nobody else, here or in another process, holds the name; undefined when the signal aborted first. */
  acquire(name: string, signal: AbortSignal): Promise<Lease | undefined>
  /** Gives back every lease by closing the connection. */
  close(): Promise<void>
}

interface Waiter {
  readonly name: string
  readonly signal: AbortSignal
  readonly settle: (lease: Lease | undefined) => void
}

const tryLocks = `select name, pg_try_advisory_lock(hashtextextended('orderlog/' || name, 0)) as granted
  from unnest($1::text[]) as name`
const unlock = `select pg_advisory_unlock(hashtextextended('orderlog/' || $1, 0))`

/** A server that does not answer for so long may have given the locks to others already. */
const answerWithinMs = 5_000
/** How often a process that holds leases says so, by any statement. */
const tellEveryMs = 1_000

/**
 * Leases as session-level advisory locks of PostgreSQL, all of a process on one connection.
 *
 * A lease: waiting -> held -> released | lost. One loop serves them: while somebody waits or holds, it asks for every
 * name that is waited for; the same statement, even without names, shows that the connection lives. When the connection
 * is lost so are all leases on it, and the loop connects anew. The server does the same with us: a process that was stopped
 * or cut off keeps its connection open and would keep its locks for ever, so a silent connection is ended.
 */
export const openLeases = (deps: {
  readonly database: Database
  readonly logger: Logger
  /** How often a name that others hold is asked for, in milliseconds. */
  readonly retryMs?: number
  /** A process that says nothing for so long loses its leases, in milliseconds. */
  readonly silentMs?: number
}): Leases => {
  const { database, logger, retryMs = 200, silentMs = 10_000 } = deps
  const closed = new AbortController()
  const held = new Map<string, AbortController>()
  const waiters = new Set<Waiter>()
  let session: pg.Client | undefined
  let ending: Promise<void> = Promise.resolve()
  let turn: Promise<unknown> = Promise.resolve()
  let wake = (): void => undefined

  const lose = (client: pg.Client): void => {
    if (session !== client) return
    session = undefined
    const lost = [...held.values()]
    held.clear()
    if (lost.length > 0 && !closed.signal.aborted)
      logger.warn({ leases: lost.length }, 'the connection of the leases was lost')
    for (const controller of lost) controller.abort()
    ending = endConnection(client)
    wake()
  }

  const open = async (): Promise<pg.Client> => {
    const client = await database.connect({ silentMs })
    if (closed.signal.aborted) {
      await endConnection(client)
      throw new Error('the leases were closed')
    }
    session = client
    client.on('error', () => lose(client))
    client.on('end', () => lose(client))
    return client
  }

  /** One statement at a time: a connection does not take a second one while the first runs. */
  const ask = <Row extends pg.QueryResultRow>(client: pg.Client, text: string, values: unknown[]) => {
    const asked = turn.then(() => client.query<Row>(text, values))
    turn = asked.catch(() => undefined)
    return asked
  }

  const leaseOn = (client: pg.Client, name: string): Lease => {
    const controller = new AbortController()
    held.set(name, controller)
    return {
      lost: controller.signal,
      release: async () => {
        if (held.get(name) !== controller) return
        await ask(client, unlock, [name]).catch(() => lose(client))
        if (held.get(name) === controller) held.delete(name)
        wake()
      },
    }
  }

  const askOnce = async (): Promise<void> => {
    const client = session ?? (await open())
    // A session may take its own lock twice; what this process holds is therefore not asked for.
    const names = [...new Set([...waiters].map((waiter) => waiter.name))].filter((name) => !held.has(name))
    const deadline = new AbortController()
    const answer = await Promise.race([
      ask<{ name: string; granted: boolean }>(client, tryLocks, [names]),
      pause(answerWithinMs, deadline.signal),
    ]).finally(() => deadline.abort())
    if (!answer) throw new Error(`no answer within ${answerWithinMs} ms`)
    // Answer and end of the connection may have come together: what was granted on it is held by nobody.
    if (session !== client) throw new Error('the connection was lost')
    for (const { name, granted } of answer.rows) {
      if (!granted) continue
      const lease = leaseOn(client, name)
      const waiter = [...waiters].find((candidate) => candidate.name === name)
      // Whoever waited may have given up while the statement travelled.
      if (waiter) waiter.settle(lease)
      else void lease.release()
    }
  }

  const serve = async (): Promise<void> => {
    let failures = 0
    while (!closed.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve
      })
      if (waiters.size === 0 && held.size === 0) {
        await woken
        continue
      }
      try {
        await askOnce()
        failures = 0
        const rest = new AbortController()
        await Promise.race([woken, pause(waiters.size > 0 ? retryMs : tellEveryMs, rest.signal)])
        rest.abort()
      } catch (error) {
        if (session) lose(session)
        // Closing takes the connection from under a statement that travels.
        if (closed.signal.aborted) break
        if (failures === 0) logger.warn({ error: String(error) }, 'leases wait for PostgreSQL')
        await pause(backOffMs(failures), closed.signal)
        failures += 1
      }
    }
  }
  const serving = serve()

  return {
    acquire: (name, signal) =>
      new Promise((resolve) => {
        // One shutdown signal is shared by all who wait.
        setMaxListeners(0, signal)
        if (signal.aborted || closed.signal.aborted) return resolve(undefined)
        const giveUp = () => waiter.settle(undefined)
        const waiter: Waiter = {
          name,
          signal,
          settle: (lease) => {
            waiters.delete(waiter)
            signal.removeEventListener('abort', giveUp)
            resolve(lease)
          },
        }
        signal.addEventListener('abort', giveUp)
        waiters.add(waiter)
        wake()
      }),
    close: async () => {
      closed.abort()
      for (const waiter of waiters) waiter.settle(undefined)
      if (session) lose(session)
      wake()
      await serving
      await ending
    },
  }
}
