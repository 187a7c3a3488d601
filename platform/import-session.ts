import type pg from 'pg'
import { type Database, endConnection, isTransient, platformSessions, type Queryable } from './database.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { LogTransferError } from './log-file.ts'
import { pause } from './pause.ts'

/** Imports keep each other out by the first, and all writers of a log in PostgreSQL by the second, that of log.append. */
const lockValues = { importing: 7310580, appending: 7310579 }

/** A process that was killed keeps its locks until the server notices. */
const lockWaitMs = 10_000

/**
 * @throws StartupError while there is half an imported log: what it says to be under way may have ended in the other half
 */
export const refuseUnfinishedImport = async (database: Queryable): Promise<void> => {
  const [unfinished] = await database.query<{ since: string }>(
    'select begun_at as since from platform.unfinished_import',
  )
  if (unfinished)
    throw new StartupError(
      `An import into this log, begun at ${unfinished.since}, has not come to its end: run "orderlog import" again with the same file, and it goes on.`,
    )
}

const refuseRunningPlatform = async (database: Queryable): Promise<void> => {
  const [running] = await database.query<{ sessions: bigint }>(
    `select count(*) as sessions from pg_stat_activity
     where datname = current_database() and application_name = $1 and pid <> pg_backend_pid()`,
    [platformSessions],
  )
  if (running && running.sessions > 0n)
    throw new LogTransferError(
      'import-platform-running',
      `Orderlog runs on this database (${running.sessions} sessions): stop every process of it, and import then.`,
    )
}

/** What makes an import the only one who writes, for as long as it lives. */
export interface ImportSession {
  /** On the session that holds the locks: without them nothing is written. */
  readonly execute: Database['execute']
  /** Half a log from here on. @throws LogTransferError when a platform runs */
  begin(): Promise<void>
  /** A whole one again. */
  finish(): Promise<void>
  close(): Promise<void>
}

const take = async (client: pg.Client, lock: number, refusal: LogTransferError): Promise<void> => {
  const deadline = performance.now() + lockWaitMs
  for (;;) {
    const { rows } = await client.query('select pg_try_advisory_lock($1) as taken', [lock])
    if (rows[0]?.taken === true) return
    if (performance.now() >= deadline) throw refusal
    await pause(100)
  }
}

/**
 * Keeps others out of the log: other imports, a running platform, and, where the log is in this database, every writer.
 *
 * @param options.holdsLog whether the log is in this database
 * @throws LogTransferError, EngineUnavailable
 */
export const openImportSession = async (
  database: Database,
  options: { readonly holdsLog: boolean },
): Promise<ImportSession> => {
  const client = await database.connect()
  const execute: Database['execute'] = async <Row>(statement: pg.QueryConfig, values: readonly unknown[] = []) => {
    try {
      return (await client.query({ ...statement, values: [...values] })).rows as Row[]
    } catch (error) {
      throw isTransient(error) ? new EngineUnavailable('PostgreSQL', error) : error
    }
  }
  const queryable: Queryable = { query: (text, values) => execute({ text } as never, values) }
  const close = () => endConnection(client)
  try {
    await refuseRunningPlatform(queryable)
    const other = new LogTransferError('import-another-running', 'Another import runs on this database.')
    await take(client, lockValues.importing, other)
    const writer = new LogTransferError('import-platform-running', 'Somebody writes to this log all the time.')
    if (options.holdsLog) await take(client, lockValues.appending, writer)
  } catch (error) {
    await close()
    throw error
  }
  return {
    execute,
    begin: async () => {
      const rows = await queryable.query(
        'insert into platform.unfinished_import default values on conflict do nothing returning begun_at',
      )
      try {
        // A platform connects before it looks for the row, we look for it after the row is there: one sees the other.
        await refuseRunningPlatform(queryable)
      } catch (error) {
        if (rows.length > 0) await queryable.query('delete from platform.unfinished_import')
        throw error
      }
    },
    finish: async () => {
      await queryable.query('delete from platform.unfinished_import')
    },
    close,
  }
}
