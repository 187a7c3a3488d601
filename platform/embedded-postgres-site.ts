import { copyFile, mkdir, realpath, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { type Binaries, prepareBinaries } from './embedded-postgres-binaries.ts'
import { dataDirectory, prepareCluster } from './embedded-postgres-cluster.ts'
import { chooseLauncher, type Launcher } from './embedded-postgres-user.ts'
import { StartupError } from './failures.ts'
import type { Logger } from './logging.ts'

export interface EmbeddedPostgresOptions {
  /** Absolute; made when missing. Holds `cluster/` (the data and its password) and `postgres.log`. */
  directory: string
  logger: Logger
  /** Of postgresql.conf, beside or instead of ours. Those that durability rests on cannot be changed. */
  settings?: Readonly<Record<string, string>>
}

const defaults: Readonly<Record<string, string>> = {
  shared_buffers: '128MB',
  max_connections: '100',
  max_wal_size: '1GB',
  wal_compression: 'on',
  jit: 'off',
  log_checkpoints: 'off',
  // Above ERROR: what a statement did wrong is told to its client, and may hold what somebody typed.
  log_min_messages: 'log',
  // A backend whose client was killed lets go of its locks while it still works.
  ...(process.platform === 'win32' ? {} : { client_connection_check_interval: '1s' }),
}

/** Nobody's settings override these: what was acknowledged is on the disk, and nobody else's machine gets in. */
const fixed: Readonly<Record<string, string>> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  logging_collector: 'off',
  log_line_prefix: '%m [%p] ',
}

const logLimit = 10 * 1024 * 1024

/** Keeps `postgres.log` and one predecessor. Safe under a running server, which only ever appends. */
export const boundLog = async (logFile: string): Promise<void> => {
  const size = await stat(logFile).then(
    (file) => file.size,
    () => 0,
  )
  if (size <= logLimit) return
  await copyFile(logFile, `${logFile}.1`)
  await truncate(logFile)
}

/** Everything about one data directory that stays the same while servers come and go on it. */
export interface Site {
  readonly directory: string
  readonly data: string
  readonly logFile: string
  readonly binaries: Binaries
  readonly launcher: Launcher
  readonly password: string
  readonly settings: Readonly<Record<string, string>>
  readonly logger: Logger
}

/** Password included: not for a log. */
export const urlOf = (site: Site, port: number, database: string): string =>
  `postgres://orderlog:${site.password}@127.0.0.1:${port}/${database}`

/** @throws StartupError when the directory, the binaries or the user to run them as are not fit. */
export const prepareSite = async (options: EmbeddedPostgresOptions): Promise<Site> => {
  const { logger } = options
  try {
    const binaries = await prepareBinaries()
    await mkdir(options.directory, { recursive: true })
    const directory = await realpath(options.directory)
    const data = dataDirectory(directory)
    const launcher = await chooseLauncher({
      dataOwner: await stat(data).catch(() => undefined),
      needed: [...binaries.needed, directory],
    })
    const { password } = await prepareCluster({ directory, binaries, launcher, logger })
    const settings = { ...defaults, ...options.settings, ...fixed }
    return { directory, data, logFile: join(directory, 'postgres.log'), binaries, launcher, password, settings, logger }
  } catch (cause) {
    const { code, path } = cause as NodeJS.ErrnoException
    if (
      code === undefined ||
      cause instanceof StartupError ||
      !/^(EACCES|EPERM|EROFS|ENOSPC|ENOTDIR|EEXIST)$/.test(code)
    )
      throw cause
    throw new StartupError(
      `The embedded PostgreSQL cannot use ${path ?? options.directory} (${code}): give it a folder that this user may write, or set DATABASE_URL.`,
      { cause },
    )
  }
}
