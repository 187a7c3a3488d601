import { join } from 'node:path'
import pg from 'pg'
import type { Config } from './config.ts'
import { endConnection, isTransient } from './database.ts'
import { startEmbeddedPostgres } from './embedded-postgres.ts'
import { waitForEngine } from './engine-wait.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { createLifecycle, type Lifecycle } from './lifecycle.ts'
import type { Logger } from './logging.ts'
import { migrate } from './migrate.ts'

const oldestVersion = 14

/** Where a server is, for messages; the address may hold a password. */
const hostOf = (url: string): string => {
  const { host, searchParams } = new URL(url)
  // A socket has a path, which no host of an address can be.
  return searchParams.get('host') ?? (host || 'localhost')
}

/** @throws StartupError when the server is older than what the statements need */
const checkVersion = async (url: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000, query_timeout: 10_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query('show server_version_num')
    const version = Math.floor(Number(rows[0]?.server_version_num) / 10_000)
    if (version < oldestVersion)
      throw new StartupError(
        `DATABASE_URL names a PostgreSQL ${version} on ${hostOf(url)}; Orderlog needs ${oldestVersion} or newer.`,
      )
  } catch (error) {
    if (isTransient(error)) throw new EngineUnavailable('PostgreSQL', error)
    throw error
  } finally {
    await endConnection(client)
  }
}

/** How a start is told to stop, and how it waits. */
interface Starting {
  readonly config: Config
  readonly logger: Logger
  readonly lifecycle: Lifecycle
  readonly stopping: AbortSignal
}

/** The address of a migrated database: the embedded PostgreSQL, started, or the one that is configured, once it answers. */
export const provideDatabase = async ({ config, logger, lifecycle, stopping }: Starting): Promise<string> => {
  const { database } = config
  if (database.kind === 'embedded') {
    const server = await startEmbeddedPostgres({ directory: join(config.dataDirectory, 'postgres'), logger })
    lifecycle.onStop('the embedded PostgreSQL', server.stop, { withinMs: 20_000 })
    await migrate(server.url, logger, { stopping })
    return server.url
  }
  const { url } = database
  if (!URL.canParse(url))
    throw new StartupError(
      'DATABASE_URL is no address like postgres://user:password@host:port/database; in it, characters such as "@", "/" and "#" of a password are written as %40, %2F and %23.',
    )
  const engine = { name: 'PostgreSQL', variable: 'DATABASE_URL', host: hostOf(url) }
  await waitForEngine(
    engine,
    async () => {
      await checkVersion(url)
      await migrate(url, logger, { stopping })
    },
    { waitMs: config.engineWaitMs, logger, stopping },
  )
  return url
}

/** Brings the database up to date and hands out its address for as long as `work` takes. */
export const withDatabase = async (
  { config, logger, stopping }: { config: Config; logger: Logger; stopping: AbortSignal },
  work: (url: string) => Promise<void>,
): Promise<void> => {
  const lifecycle = createLifecycle(logger, config.shutdownTimeoutMs)
  try {
    await work(await provideDatabase({ config, logger, lifecycle, stopping }))
  } finally {
    await lifecycle.stop()
  }
}
