import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StoredEvent } from '../schemas/envelope.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { type Database, openDatabase } from './database.ts'
import { openImportSession, refuseUnfinishedImport } from './import-session.ts'
import { silentLogger } from './logging.ts'
import { openPostgresEventStore, type PostgresEventStore } from './postgres-event-store.ts'
import { createPostgresImport } from './postgres-event-store-import.ts'

let platform: TestDatabase
let database: Database
let store: PostgresEventStore

beforeEach(async () => {
  platform = await openTestDatabase()
  database = openDatabase(platform.url, { max: 4, logger: silentLogger, name: 'a test' })
  store = openPostgresEventStore({ database, logger: silentLogger })
})
afterEach(async () => {
  await store.close()
  await database.close()
  await platform.drop()
})

const stored = (stream: string, revision: bigint, position: bigint): StoredEvent => ({
  ...newEvent({ note: 'Zoë 🦊 "quoted" \\ and\nbroken' }),
  ...{ stream, revision, position, recordedAt: `2026-03-01T09:00:00.${String(position).padStart(3, '0')}Z` },
})

const opened = async () => {
  const session = await openImportSession(database, { holdsLog: true })
  return { ...session, write: createPostgresImport(session.execute) }
}

describe('an import into PostgreSQL', () => {
  test('keeps id, revision, time, data and metadata, and hands out positions without gaps', async () => {
    const [one, other] = [newStream(), newStream()]
    const events = [stored(one, 0n, 3n), stored(other, 0n, 8n), stored(one, 1n, 9n), stored(one, 2n, 15n)]
    const session = await opened()
    expect(await session.write(events.slice(0, 3))).toBeUndefined()
    expect(await session.write(events.slice(3))).toBeUndefined()
    await session.close()
    const { events: read } = await store.readAll({ after: 0n, limit: 10 })
    expect(read).toEqual(events.map((event, index) => ({ ...event, position: BigInt(index + 1) })))
    // The next append goes on behind it.
    expect(await store.append(one, [newEvent()], 2n)).toMatchObject({ outcome: 'appended', revision: 3n, position: 5n })
  })

  test('writes nothing of a batch in which an event does not continue its stream', async () => {
    const [one, other] = [newStream(), newStream()]
    await store.append(one, newEvents(2), 'none')
    const session = await opened()
    expect(await session.write([stored(other, 0n, 3n), stored(one, 2n, 4n), stored(one, 4n, 5n)])).toEqual({
      ...{ index: 2, continues: 3n },
    })
    expect(await session.write([stored(other, 0n, 3n), stored(one, 1n, 4n)])).toEqual({ index: 1, continues: 2n })
    expect(await session.write([stored(other, 1n, 3n)])).toEqual({ index: 0, continues: 0n })
    await session.close()
    expect(await store.head()).toBe(2n)
  })

  test('lets nobody else write from its beginning to its end', async () => {
    const session = await opened()
    const stream = newStream()
    await session.write([stored(stream, 0n, 1n)])
    let written = false
    const append = store.append(newStream(), [newEvent()], 'none').then((result) => {
      written = true
      return result
    })
    for (let revision = 1n; revision < 6n; revision += 1n)
      await session.write([stored(stream, revision, revision + 1n)])
    expect(written).toBe(false)
    await session.close()
    expect(await append).toMatchObject({ outcome: 'appended', position: 7n })
  })

  test('is refused while Orderlog runs on the database, and while another import does', async () => {
    const refusals = (work: Promise<unknown>) => expect(work).rejects
    await platform.database.query('select 1')
    await refusals(opened()).toMatchObject({ code: 'import-platform-running' })
    await platform.database.close()
    const session = await opened()
    await refusals(opened()).toMatchObject({ code: 'import-another-running' })
    await session.close()
    await (await opened()).close()
  })

  test('that a platform was started under is refused before it writes', async () => {
    const session = await opened()
    await platform.database.query('select 1')
    await expect(session.begin()).rejects.toMatchObject({ code: 'import-platform-running' })
    await refuseUnfinishedImport(database)
    await session.close()
  })

  test('leaves a mark until it has come to its end', async () => {
    const session = await opened()
    await session.begin()
    await expect(refuseUnfinishedImport(database)).rejects.toThrow(
      /has not come to its end: run "orderlog import" again/,
    )
    await session.close()
    const again = await opened()
    await again.begin()
    await again.finish()
    await refuseUnfinishedImport(database)
    await again.close()
  })

  test('is for the owner of the log alone', async () => {
    const [row] = await database.query<{ allowed: boolean }>(
      `select has_function_privilege('public',
         'log.import(text[], bigint[], uuid[], text[], json[], json[], timestamptz[])', 'execute') as allowed`,
    )
    expect(row).toEqual({ allowed: false })
  })
})
