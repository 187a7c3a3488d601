import type { Socket } from 'node:net'
import pg from 'pg'
import { type CopiedOut, copyIn, copyOut } from './copy.ts'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'

/** Rows come back as plain objects; bigint columns as `bigint`, json as parsed values, timestamptz as ISO strings. */
export interface Queryable {
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>
}

/** A prepared statement: parsed once per connection. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export interface Transaction extends Queryable {
  execute<Row>(statement: Statement, values?: readonly unknown[]): Promise<Row[]>
  /**
   * Sends rows to a `COPY ... FROM STDIN`. Only there within a transaction.
   *
   * @param pieces in the format that the statement says
   */
  copy?(statement: string, pieces: AsyncIterable<Buffer>): Promise<void>
}

export interface Database extends Transaction {
  /**
   * One transaction on one connection: committed when `work` returns, rolled back when it throws. An error of a
   * statement that `work` keeps to itself rolls it back all the same, and is an error of the transaction.
   *
   * @param options.statementTimeoutMs for statements that may take longer than the usual, such as DDL
   */
  transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options?: { readonly statementTimeoutMs?: number },
  ): Promise<Result>
  /**
   * What a `COPY ... TO STDOUT` sends: many rows at a fraction of the cost of a query.
   *
   * @param maxBytes see `copyOut`; a connection is spent when more had come
   */
  copyOut(statement: string, maxBytes: number): Promise<CopiedOut>
  /**
   * A connection of one's own, outside the pool: for LISTEN and for session locks. The caller ends it.
   *
   * @param options.silentMs the server ends it when nothing was said on it for so long; default: never
   */
  connect(options?: { readonly silentMs?: number }): Promise<pg.Client>
  readonly pool: pg.Pool
  close(): Promise<void>
}

let lastTimestamp = ''
let lastIso = ''
/**
 * `2026-11-21 03:30:13.12+00` as ISO 8601 with milliseconds. Rows written together share their timestamp, so the last
 * answer is kept; other zones and odd years go the long way.
 */
const toIso = (text: string): string => {
  if (text === lastTimestamp) return lastIso
  const [, date, time, fraction = ''] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text) ?? []
  lastIso = date ? `${date}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}Z` : new Date(text).toISOString()
  lastTimestamp = text
  return lastIso
}

/** int8 as bigint, timestamptz as ISO 8601 text: no number of ours ever loses a digit. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === 20) return BigInt
    if (oid === 1184) return toIso
    return pg.types.getTypeParser(oid, format as 'text')
  }) as typeof pg.types.getTypeParser,
}

/** SQLSTATE classes that say "not now" rather than "not like this". */
const transientStates = /^(08|53|57P|57014|25P03|40001|40P01|55P03|25006|58)/
const transientErrnos = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOENT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ECONNABORTED',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTDOWN',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
])

/** What the client says of itself, without a code. */
const transientMessages =
  /Connection terminated|timeout exceeded when trying to connect|^timeout expired|Client has encountered a connection error|not queryable|Query read timeout/

/** Whether the same statement may succeed later: the server is away, restarting, out of resources or breaking a deadlock. */
export const isTransient = (error: unknown): boolean => {
  if (error instanceof EngineUnavailable) return true
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string') return transientErrnos.has(code) || transientStates.test(code)
  return transientMessages.test(error.message)
}

/** Whom the server does not let in, a right that is missing, a database that is gone. */
const refusals = /^(28|42501|3D000)/

const particular = (error: unknown, name: 'code' | 'routine'): string => {
  const value = error instanceof Error ? (error as { code?: unknown; routine?: unknown })[name] : undefined
  return typeof value === 'string' ? value : ''
}

/** A prepared statement outlived the table that it was prepared for; a new connection prepares it anew. */
const isStalePlan = (error: unknown): boolean =>
  particular(error, 'code') === '0A000' && particular(error, 'routine') === 'RevalidateCachedQuery'

/**
 * What no statement, and nothing that is in it, is to blame for. A start says so and ends; a platform that runs waits
 * until an operator has mended it.
 */
const isUnavailability = (error: unknown): boolean =>
  isTransient(error) || refusals.test(particular(error, 'code')) || isStalePlan(error)

const hangs = (error: unknown): error is EngineUnavailable =>
  error instanceof EngineUnavailable && error.cause instanceof Error && error.cause.message === 'Query read timeout'

const translated = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    if (isUnavailability(error) && !(error instanceof EngineUnavailable))
      throw new EngineUnavailable('PostgreSQL', error)
    throw error
  }
}

/** The server is asked to give up first; only one that does not answer at all is given up by us. */
const givenUpAfter = (statementTimeoutMs: number): number => statementTimeoutMs + 5_000

/** @param statementTimeoutMs default: that of the connection */
const over = (client: pg.Pool | pg.PoolClient, statementTimeoutMs?: number): Transaction => {
  const patience = statementTimeoutMs === undefined ? {} : { query_timeout: givenUpAfter(statementTimeoutMs) }
  const run = async <Row>(query: pg.QueryConfig): Promise<Row[]> => {
    const result = await translated(client.query({ ...query, ...patience }))
    const { rows } = result
    // A connection holds on to its last result: with the rows in it, they would outlive the young generation and be
    // collected with the old one, at several times the cost.
    result.rows = []
    return rows as Row[]
  }
  return {
    query: (text, values = []) => run({ text, values: values as unknown[] }),
    execute: (statement, values = []) => run({ ...statement, values: values as unknown[] }),
  }
}

/**
 * Ends a connection outside the pool. A server that hangs answers no goodbye: then the connection is cut.
 *
 * @param goodbyeMs how long to wait for the server
 */
export const endConnection = async (client: pg.Client, goodbyeMs = 1_000): Promise<void> => {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  const timer = setTimeout(() => stream.destroy(), goodbyeMs)
  try {
    await client.end()
  } catch {
    stream.destroy()
  } finally {
    clearTimeout(timer)
  }
}

/** How the server knows the sessions of a platform that runs. */
export const platformSessions = 'orderlog'

/**
 * Opens a pool on a PostgreSQL. Connection failures, server restarts, a server that hangs and one that does not let us in
 * or not do what we must surface as `EngineUnavailable`; the next call connects anew.
 *
 * @param connectionString `postgres://user:password@host:port/database`
 * @param options.statementTimeoutMs default 15,000; the server cancels a statement then, and a server that has not even
 * done that a little later is given up together with the connection
 * @param options.name of the sessions, for the server's own lists; default that of the platform
 * @param options.goodbyeMs default 1,000; how long a closing pool waits for a server that does not answer
 */
export const openDatabase = (
  connectionString: string,
  options: { max: number; logger: Logger; name?: string; statementTimeoutMs?: number; goodbyeMs?: number },
): Database => {
  const { statementTimeoutMs = 15_000, goodbyeMs = 1_000 } = options
  const settings: pg.PoolConfig = {
    connectionString,
    max: options.max,
    types,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: options.name ?? platformSessions,
    statement_timeout: statementTimeoutMs,
    query_timeout: givenUpAfter(statementTimeoutMs),
    // Of a process that hangs in the middle of a transaction: its locks must not outlive the patience of the others.
    idle_in_transaction_session_timeout: 60_000,
    // Our statements are short and many: compiling one costs more than it ever wins back.
    options: '-c jit=off',
  }
  const pool = new pg.Pool(settings)
  // An idle connection that the server closes emits here; without a listener it would end the process.
  pool.on('error', (error) => {
    // A closing pool and a stopping server may cross on the way.
    if (!pool.ending) options.logger.warn({ error: error.message }, 'an idle PostgreSQL connection was lost')
  })
  // A connection that dies in use emits as well, and may do so after its query was rejected and the pool let go of it.
  const open = new Set<pg.Client>()
  pool.on('connect', (client) => {
    client.on('error', () => undefined)
    open.add(client as unknown as pg.Client)
    client.once('end', () => open.delete(client as unknown as pg.Client))
  })

  const transaction: Database['transaction'] = async (work, { statementTimeoutMs: longer } = {}) => {
    const client = await translated(pool.connect())
    let broken: Error | undefined
    // A checked-out connection reports its loss twice, by rejecting the query and by this event.
    const onError = (error: Error) => {
      broken = error
    }
    client.on('error', onError)
    try {
      await translated(client.query(longer === undefined ? 'begin' : `begin; set local statement_timeout = ${longer}`))
      const copy = (statement: string, pieces: AsyncIterable<Buffer>) =>
        translated(copyIn(client, statement, pieces, givenUpAfter(longer ?? statementTimeoutMs)))
      const result = await work({ ...over(client, longer), copy })
      const { command } = await translated(client.query('commit'))
      // So the server answers, without an error, when a statement had failed and `work` went on as if it had not.
      if (command !== 'COMMIT') throw new Error(`the transaction ended with ${command}: a statement in it had failed`)
      return result
    } catch (error) {
      // A server that did not answer will not answer this either; the cut connection rolls back by itself.
      if (hangs(error)) broken = error
      else
        await client.query('rollback').catch((rollbackError: Error) => {
          broken = rollbackError
        })
      if (error instanceof EngineUnavailable && isStalePlan(error.cause)) broken = error
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }

  let closing: Promise<void> | undefined

  return {
    ...over(pool),
    pool,
    transaction,
    copyOut: async (statement, maxBytes) => {
      const client = await translated(pool.connect())
      let broken: Error | boolean = false
      try {
        const copied = await translated(
          copyOut(client, statement, { withinMs: givenUpAfter(statementTimeoutMs), maxBytes }),
        )
        broken = !copied.whole
        return copied
      } catch (error) {
        if (hangs(error)) broken = error
        throw error
      } finally {
        client.release(broken)
      }
    },
    connect: async ({ silentMs = 0 } = {}) => {
      const client = new pg.Client({ ...settings, options: `${settings.options} -c idle_session_timeout=${silentMs}` })
      // One that dies while it is still being set up emits before the caller can listen.
      client.on('error', () => undefined)
      try {
        await translated(client.connect())
      } catch (error) {
        await endConnection(client, 0)
        throw error
      }
      return client
    },
    close: () => {
      closing ??= pool
        .end()
        .then(() => Promise.all([...open].map((client) => endConnection(client, goodbyeMs))))
        .then(() => undefined)
      return closing
    },
  }
}
