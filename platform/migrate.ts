import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { endConnection, isTransient } from './database.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import type { Logger } from './logging.ts'
import { pause } from './pause.ts'

/** Beside this file both in the source tree and, copied, in dist/. */
const directory = fileURLToPath(new URL('./migrations', import.meta.url))

/** Ours alone, so that a migration of other software in the same database is not waited for. */
const lockValue = 7310578

const holderQuery = `select pid from pg_locks where locktype = 'advisory' and granted and objid = ${lockValue}
  and classid = 0 and objsubid = 1 and database = (select oid from pg_database where datname = current_database())`

/** Takes the lock, which ends with the connection. */
const lock = async (client: pg.Client, logger: Logger, waitMs: number, stopping: AbortSignal): Promise<void> => {
  const deadline = performance.now() + waitMs
  for (let told = false; ; told = true) {
    const { rows } = await client.query(`select pg_try_advisory_lock(${lockValue}) as taken`)
    if (rows[0]?.taken === true) return
    const holder = (await client.query(holderQuery)).rows[0]?.pid
    if (!told) logger.warn({ holder }, 'another process migrates the database: waiting for it')
    if (performance.now() >= deadline || stopping.aborted)
      throw new StartupError(
        `The database is being migrated by another process, session ${holder ?? 'unknown'} of the server, for ${Math.round(waitMs / 1_000)} s already: see what that one does, or end it, and start again.`,
      )
    await pause(200, stopping)
  }
}

/**
 * Brings the database to the newest schema. Processes that start at once queue behind one lock; the late ones find
 * nothing left to do.
 *
 * @param databaseUrl `postgres://user:password@host:port/database`
 * @param options.lockWaitMs how long another process may take with its migrations; default 10 minutes
 * @param options.stopping aborted when the process is told to stop: the lock is not waited for any longer
 * @throws EngineUnavailable when the server cannot be reached; StartupError when the lock is not to be had
 */
export const migrate = async (
  databaseUrl: string,
  logger: Logger,
  options: { readonly lockWaitMs?: number; readonly stopping?: AbortSignal } = {},
): Promise<void> => {
  const { lockWaitMs = 600_000, stopping = new AbortController().signal } = options
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'orderlog migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  // A connection that is lost rejects the statement and emits; the latter alone would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await lock(client, logger, lockWaitMs, stopping)
    const run = await runner({
      dbClient: client,
      dir: directory,
      direction: 'up',
      migrationsTable: 'migrations',
      migrationsSchema: 'platform',
      createMigrationsSchema: true,
      noLock: true,
      logger: {
        info: (message) => logger.debug(message),
        warn: (message) => logger.warn(message),
        error: (message) => logger.error(message),
      },
    })
    if (run.length > 0) logger.info({ migrations: run.map((migration) => migration.name) }, 'the database was migrated')
  } catch (error) {
    if (isTransient(error)) throw new EngineUnavailable('PostgreSQL', error)
    throw error
  } finally {
    await endConnection(client)
  }
}
