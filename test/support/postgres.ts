import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { type Database, openDatabase } from '../../platform/database.ts'
import { silentLogger } from '../../platform/logging.ts'
import { migrate } from '../../platform/migrate.ts'

export interface TestDatabase {
  readonly database: Database
  readonly url: string
  /** Closes the pool and drops the database, whoever else is still connected to it. */
  drop(): Promise<void>
}

const administrate = async (url: string, statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** A fresh, migrated database of its own on the test server; empty when `migrated` is false. */
export const openTestDatabase = async (options: { max?: number; migrated?: boolean } = {}): Promise<TestDatabase> => {
  const server = process.env.ORDERLOG_TEST_DATABASE_URL
  if (!server) throw new Error('ORDERLOG_TEST_DATABASE_URL is unset: test/support/global-setup.ts sets it')
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await administrate(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  if (options.migrated !== false) await migrate(url.href, silentLogger)
  const database = openDatabase(url.href, { max: options.max ?? 10, logger: silentLogger })
  return {
    database,
    url: url.href,
    drop: async () => {
      await database.close()
      await administrate(server, `drop database if exists ${name} with (force)`)
    },
  }
}

/** A copy of a database to which nobody is connected but its own pool, which is closed: a backup of the whole. */
export const copyDatabase = async ({ database, url }: TestDatabase): Promise<Pick<TestDatabase, 'url' | 'drop'>> => {
  const server = process.env.ORDERLOG_TEST_DATABASE_URL ?? url
  const copy = new URL(url)
  copy.pathname = `${copy.pathname}_copy`
  const names = { from: new URL(url).pathname.slice(1), to: copy.pathname.slice(1) }
  await database.close()
  await administrate(server, `create database ${names.to} template ${names.from}`)
  return { url: copy.href, drop: () => administrate(server, `drop database if exists ${names.to} with (force)`) }
}

/** Puts the whole database back to a copy of it, whoever is connected. */
export const putBackDatabase = async ({ url }: TestDatabase, copy: { readonly url: string }): Promise<void> => {
  const server = process.env.ORDERLOG_TEST_DATABASE_URL ?? url
  const [name, from] = [url, copy.url].map((each) => new URL(each).pathname.slice(1))
  await administrate(server, `drop database ${name} with (force)`)
  await administrate(server, `create database ${name} template ${from}`)
}
