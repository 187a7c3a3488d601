import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { startEmbeddedPostgres } from '../platform/embedded-postgres.ts'
import { silentLogger } from '../platform/logging.ts'
import type { Bench } from './contender.ts'

export interface Server extends Bench {
  /** `PostgreSQL 18.1, fsync on, synchronous_commit on`. */
  readonly description: string
  /** Drops the databases that were created. */
  close(): Promise<void>
}

/** The one PostgreSQL that all contenders share, each in databases of its own. */
export const connectServer = async (url: string): Promise<Server> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const setting = async (name: string): Promise<string | undefined> =>
    (await client.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]?.value
  const version = await setting('server_version')
  const fsync = await setting('fsync')
  const synchronousCommit = await setting('synchronous_commit')
  const created: string[] = []
  const sessions = async (): Promise<number> => {
    const text = 'select count(*)::int as open from pg_stat_activity where datname = any($1)'
    return (await client.query<{ open: number }>(text, [created])).rows[0]?.open ?? 0
  }
  return {
    description: `PostgreSQL ${version}, fsync ${fsync}, synchronous_commit ${synchronousCommit}`,
    createDatabase: async (name) => {
      const database = `bench_${name}_${randomUUID().replaceAll('-', '')}`
      await client.query(`create database ${database}`)
      created.push(database)
      const address = new URL(url)
      address.pathname = `/${database}`
      return { url: address.href }
    },
    close: async () => {
      // A pool that has ended is not gone yet: its sessions would report being cut off as errors.
      for (let attempt = 0; attempt < 100 && (await sessions()) > 0; attempt += 1) await pause(20)
      for (const database of created) await client.query(`drop database if exists ${database} with (force)`)
      await client.end()
    },
  }
}

/**
 * A PostgreSQL of the benchmark's own, gone when it is closed. Its files lie in the project, not in the system's
 * temporary directory: that may be memory, where a commit costs nothing.
 */
export const startServer = async (): Promise<Server> => {
  await mkdir('.orderlog', { recursive: true })
  const directory = await mkdtemp('.orderlog/bench-')
  const postgres = await startEmbeddedPostgres({ directory, logger: silentLogger })
  const server = await connectServer(postgres.url)
  return {
    ...server,
    close: async () => {
      await server.close()
      await postgres.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
