import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { type HangingProxy, openHangingProxy } from '../test/support/hanging-proxy.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { inOnePiece } from './copy.ts'
import { type Database, openDatabase } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import { silentLogger as logger } from './logging.ts'

let server: TestDatabase
beforeAll(async () => {
  server = await openTestDatabase()
})
afterAll(() => server.drop())

const numbers = (count: number): string =>
  Array.from({ length: count }, (_, index) => `${index + 1}\t${'x'.repeat(100)}\n`).join('')
const rows = (upTo: number) => `select n, repeat('x', 100) from generate_series(1, ${upTo}) n`

describe('rows that are copied out', () => {
  let database: Database
  let pid: number
  const pidNow = async () => (await database.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid
  beforeEach(async () => {
    database = openDatabase(server.url, { max: 1, logger, statementTimeoutMs: 1_000 })
    pid = (await pidNow()) ?? 0
  })
  afterEach(() => database.close())

  test('come whole, and the connection serves the next statement', async () => {
    for (const count of [0, 1, 20_000]) {
      const copied = await database.copyOut(`copy (${rows(count)}) to stdout`, 10_000_000)
      expect(copied.whole).toBe(true)
      expect(inOnePiece(copied).toString()).toBe(numbers(count))
    }
    expect(await pidNow()).toBe(pid)
  })

  test('end after so many bytes, and the connection with them', async () => {
    const copied = await database.copyOut(`copy (${rows(500_000)}) to stdout`, 100_000)
    expect(copied.whole).toBe(false)
    const sent = inOnePiece(copied)
    // All that was whole when more than so much had come, in pieces of 64 KiB at most.
    expect(sent.length).toBeGreaterThan(100_000 - 200)
    expect(sent.length).toBeLessThan(100_000 + 65_536)
    expect(numbers(20_000).startsWith(sent.toString())).toBe(true)
    expect(sent.toString().endsWith('x\n')).toBe(true)
    expect(await pidNow()).not.toBe(pid)
  })

  test('end with a whole one, however many pieces it comes in', async () => {
    const large = (upTo: number) => `select n, repeat('x', 300000) from generate_series(1, ${upTo}) n`
    for (const maxBytes of [1, 300_000, 450_000, 700_000]) {
      const copied = await database.copyOut(`copy (${large(100)}) to stdout`, maxBytes)
      expect(copied.whole).toBe(false)
      const found = inOnePiece(copied).toString().split('\n')
      expect(found.pop()).toBe('')
      expect(found).toHaveLength(Math.max(1, Math.floor(maxBytes / 300_010)))
      for (const [index, line] of found.entries()) expect(line === `${index + 1}\t${'x'.repeat(300_000)}`).toBe(true)
    }
  })

  test('lie where there is room for them', async () => {
    const room = Buffer.alloc(10_000)
    const copied = await database.copyOut(`copy (${rows(3)}) to stdout`, 10_000)
    expect(inOnePiece(copied, room).toString()).toBe(numbers(3))
    expect(room.toString('utf8', 0, copied.bytes)).toBe(numbers(3))
    expect(room.subarray(copied.bytes).every((byte) => byte === 0)).toBe(true)
  })

  test('are not those of an error, nor is the connection lost to it', async () => {
    const failing = (upTo: number) => `copy (select n, 1 / (n - ${upTo}) from generate_series(1, ${upTo}) n) to stdout`
    for (const upTo of [1, 2, 100_000])
      await expect(database.copyOut(failing(upTo), 10_000_000)).rejects.toThrow('division by zero')
    await expect(database.copyOut('copy nowhere to stdout', 10_000_000)).rejects.toThrow('does not exist')
    expect(await pidNow()).toBe(pid)
  })

  test('have what the server says meanwhile go past them', async () => {
    await database.query(`create function pg_temp.told(n integer) returns integer language plpgsql
      as $$ begin raise notice 'at %', n; return n; end $$`)
    const telling = 'copy (select pg_temp.told(n) from generate_series(1, 3) n) to stdout'
    const sent = inOnePiece(await database.copyOut(telling, 100))
    expect(sent.toString()).toBe('1\n2\n3\n')
    expect(await pidNow()).toBe(pid)
  })

  test('that take too long are cancelled by the server', async () => {
    const slow = 'copy (select n, pg_sleep(0.1) from generate_series(1, 100) n) to stdout'
    await expect(database.copyOut(slow, 10_000_000)).rejects.toThrow(EngineUnavailable)
    expect(await pidNow()).toBe(pid)
  })

  test('are lost with the connection', async () => {
    // Its limit is far away: they are lost by the end of the connection, and not because they take too long.
    const patient = openDatabase(server.url, { max: 1, logger })
    try {
      const slow = 'copy (select n, pg_sleep(0.1) from generate_series(1, 100) n) to stdout'
      const lost = { name: 'EngineUnavailable', cause: { code: '57P01' } }
      const copied = expect(patient.copyOut(slow, 10_000_000)).rejects.toMatchObject(lost)
      await eventually(
        () =>
          server.database.query<{ killed: boolean }>(
            `select pg_terminate_backend(pid) as killed from pg_stat_activity
             where datname = current_database() and state = 'active' and query = $1`,
            [slow],
          ),
        ([found]) => found?.killed === true,
      )
      await copied
      await eventually(
        async () => patient.pool.totalCount,
        (connections) => connections === 0,
      )
      expect(await patient.query('select 1 as one')).toEqual([{ one: 1 }])
    } finally {
      await patient.close()
    }
  })
})

describe('a server that hangs among the rows', () => {
  let proxy: HangingProxy
  let database: Database
  beforeEach(async () => {
    proxy = await openHangingProxy(server.url)
    database = openDatabase(proxy.url, { max: 1, logger, statementTimeoutMs: 500, goodbyeMs: 200 })
    await database.query('select 1')
  })
  afterEach(async () => {
    proxy.resume()
    await database.close()
    await proxy.close()
  })

  test('is given up, together with the connection', async () => {
    proxy.hang()
    await expect(database.copyOut(`copy (${rows(20_000)}) to stdout`, 10_000_000)).rejects.toThrow(EngineUnavailable)
    expect(database.pool.totalCount).toBe(0)
    proxy.resume()
    const sent = inOnePiece(await database.copyOut(`copy (${rows(10)}) to stdout`, 10_000_000))
    expect(sent.toString()).toBe(numbers(10))
  })
})
