import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { endConnection } from './database.ts'
import { StartupError } from './failures.ts'
import { type Logger, silentLogger } from './logging.ts'
import { migrate } from './migrate.ts'

let server: TestDatabase
beforeEach(async () => {
  server = await openTestDatabase({ migrated: false })
})
afterEach(() => server.drop())

/** Another process in the middle of its migrations. */
const otherProcess = async () => {
  const client = await server.database.connect()
  await client.query('select pg_advisory_lock(7310578)')
  const [session] = (await client.query('select pg_backend_pid() as pid')).rows
  return { pid: Number(session.pid), end: () => endConnection(client) }
}

test('a migration waits for that of another process, and says so once', async () => {
  const other = await otherProcess()
  const warned: unknown[][] = []
  let asked: (() => void) | undefined
  const waiting = new Promise<void>((resolve) => {
    asked = resolve
  })
  const warn = (...words: unknown[]) => {
    warned.push(words)
    asked?.()
  }
  const migrating = migrate(server.url, { ...silentLogger, warn } as unknown as Logger)
  await waiting
  await other.end()
  await migrating
  expect(warned).toEqual([[{ holder: other.pid }, 'another process migrates the database: waiting for it']])
  expect(await server.database.query('select position from log.events')).toEqual([])
})

test('a migration that waits too long for another one ends with a sentence that names its session', async () => {
  const other = await otherProcess()
  const migrating = migrate(server.url, silentLogger, { lockWaitMs: 0 })
  await expect(migrating).rejects.toThrow(StartupError)
  await expect(migrating).rejects.toThrow(
    new RegExp(`^The database is being migrated by .* session ${other.pid} of [^.]+\\.$`),
  )
  await other.end()
})

test('a migration that waits for another one ends when its process is told to stop', async () => {
  const other = await otherProcess()
  const stopping = new AbortController()
  const logger = { ...silentLogger, warn: () => stopping.abort() } as unknown as Logger
  await expect(migrate(server.url, logger, { stopping: stopping.signal })).rejects.toThrow(StartupError)
  await other.end()
})
