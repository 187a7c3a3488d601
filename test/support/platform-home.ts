import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import {
  choosePort,
  findPostmaster,
  type Postmaster,
  stopPostmaster,
} from '../../platform/embedded-postgres-postmaster.ts'
import { type Finished, finished, type PlatformProcess, ready, spawnCli } from './platform-process.ts'

type Environment = Readonly<Record<string, string>>

/**
 * A data directory and a port of a test's own, and every process that runs on them. The PostgreSQL in it is the
 * embedded one, started by the command line itself.
 */
export interface PlatformHome {
  readonly directory: string
  /** The same port at every start, so that a client finds the platform again. */
  readonly port: number
  readonly url: string
  /** `orderlog start`, until it is ready. */
  start(roles?: readonly string[], environment?: Environment): Promise<PlatformProcess>
  /** Another command, to its end. */
  run(args: readonly string[], environment?: Environment): Promise<Finished>
  spawn(args: readonly string[], environment?: Environment): ChildProcess
  /** The server's parent process, if it runs. */
  postmaster(): Promise<Postmaster | undefined>
  /** Of the database while the server runs. */
  databaseUrl(): Promise<string>
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Ends whatever still runs here, also what a killed process left behind, and deletes the directory. */
  close(): Promise<void>
}

/** Asks once, on a connection of its own: int8 comes as text. */
export const queryOnce = async <Row>(url: string, text: string, values: readonly unknown[] = []): Promise<Row[]> => {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(text, [...values])).rows as Row[]
  } finally {
    await client.end().catch(() => undefined)
  }
}

export const openHome = async (): Promise<PlatformHome> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-e2e-'))
  const port = await choosePort()
  const data = join(directory, 'postgres', 'cluster', 'data')
  const children = new Set<ChildProcess>()

  const spawn = (args: readonly string[], environment: Environment = {}): ChildProcess => {
    const child = spawnCli(args, {
      ...{ ORDERLOG_DATA_DIR: directory, ORDERLOG_PORT: String(port) },
      // What a busy machine takes long over must not be cut off or cancelled for that.
      ...{ ORDERLOG_SHUTDOWN_TIMEOUT_MS: '60000', ORDERLOG_RESERVATION_DEADLINE_MS: '600000' },
      ...environment,
    })
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }

  const postmaster = () => findPostmaster(data)

  const databaseUrl = async (): Promise<string> => {
    const server = await postmaster()
    if (!server) throw new Error('the embedded PostgreSQL does not run')
    const password = (await readFile(join(directory, 'postgres', 'cluster', 'password'), 'utf8')).trim()
    return `postgres://orderlog:${password}@127.0.0.1:${server.port}/orderlog`
  }

  return {
    directory,
    port,
    url: `http://127.0.0.1:${port}`,
    spawn,
    start: (roles = [], environment) => ready(spawn(['start', ...roles], environment)),
    run: (args, environment) => finished(spawn(args, environment)),
    postmaster,
    databaseUrl,
    query: async (text, values) => queryOnce(await databaseUrl(), text, values),
    close: async () => {
      for (const child of children) {
        const gone = once(child, 'exit')
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await gone
      }
      const left = await postmaster()
      if (left) await stopPostmaster(left)
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
