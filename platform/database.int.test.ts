import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HangingProxy, openHangingProxy } from '../test/support/hanging-proxy.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { type Database, isTransient, openDatabase } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import { openLeases } from './leases.ts'
import { silentLogger } from './logging.ts'
import { migrate } from './migrate.ts'
import { pause } from './pause.ts'
import { openPostgresEventStore } from './postgres-event-store.ts'

const logger = silentLogger

describe('a PostgreSQL that hangs', () => {
  let test1: TestDatabase
  let proxy: HangingProxy
  let database: Database
  beforeAll(async () => {
    test1 = await openTestDatabase()
  })
  afterAll(() => test1.drop())
  beforeEach(async () => {
    proxy = await openHangingProxy(test1.url)
    // What the tests wait for is this and the patience after it; what they do before and after must fit into it.
    database = openDatabase(proxy.url, { max: 3, logger, statementTimeoutMs: 3_000, goodbyeMs: 200 })
    await Promise.all([1, 2, 3].map(() => database.query('select pg_sleep(0.01)')))
  })
  afterEach(async () => {
    proxy.resume()
    await database.close()
    await proxy.close()
  })

  test('is unavailable to statements and transactions, and their connections are not used again', async () => {
    proxy.hang()
    const held = database.transaction((transaction) => transaction.query('select 1'))
    await expect(database.query('select 1')).rejects.toThrow(EngineUnavailable)
    await expect(held).rejects.toThrow(EngineUnavailable)
    expect(database.pool.totalCount).toBe(1)
    proxy.resume()
    expect(await database.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  test('breaks a transaction off in the middle, which the server then rolls back', async () => {
    await test1.database.query('create table public.half (n integer)')
    const broken = database.transaction(async (transaction) => {
      await transaction.query('insert into half values (1)')
      proxy.hang()
      await transaction.query('insert into half values (2)')
    })
    await expect(broken).rejects.toThrow(EngineUnavailable)
    proxy.resume()
    expect(await database.query('select n from half')).toEqual([])
  })

  test('lets a pool close, twice, whatever still runs on it', async () => {
    proxy.hang()
    const running = expect(database.query('select 1')).rejects.toThrow(EngineUnavailable)
    await Promise.all([database.close(), database.close()])
    await running
  })

  test('lets store and leases close, also while they are still connecting', async () => {
    const store = openPostgresEventStore({ database, logger })
    const leases = openLeases({ database, logger })
    await leases.acquire('held', new AbortController().signal)
    await store.append(newStream(), newEvents(1), 'none')
    proxy.hang()
    const late = openPostgresEventStore({ database, logger })
    await Promise.all([store.close(), leases.close(), late.close()])
  })

  test('lets leases close over a statement that travels without a word', async () => {
    const said: string[] = []
    const telling = pino({ level: 'debug' }, { write: (line) => void said.push(line) })
    const leases = openLeases({ database, logger: telling })
    await leases.acquire('held', new AbortController().signal)
    proxy.hang()
    const waiting = leases.acquire('another', new AbortController().signal)
    await pause(50)
    await leases.close()
    expect(await waiting).toBeUndefined()
    expect(said).toEqual([])
  })

  test('is how a process that was stopped looks to the server, which gives its leases to others', async () => {
    const stopped = openLeases({ database, logger, retryMs: 5, silentMs: 3_000 })
    const heir = openLeases({ database: test1.database, logger, retryMs: 5 })
    const never = new AbortController().signal
    const lease = await stopped.acquire('throne', never)
    const inheriting = heir.acquire('throne', never)
    proxy.hang()
    expect((await inheriting)?.lost.aborted).toBe(false)
    proxy.resume()
    await expect.poll(() => lease?.lost.aborted).toBe(true)
    await Promise.all([stopped.close(), heir.close()])
  })

  test('makes a migration give up', async () => {
    proxy.hang()
    await expect(migrate(proxy.url, logger)).rejects.toThrow(EngineUnavailable)
  })
})

describe('a statement', () => {
  let test1: TestDatabase
  beforeAll(async () => {
    test1 = await openTestDatabase()
  })
  afterAll(() => test1.drop())

  test('that takes too long is cancelled by the server; a transaction may ask for more', async () => {
    const database = openDatabase(test1.url, { max: 1, logger, statementTimeoutMs: 1_000 })
    try {
      const tooLong = await database.query('select pg_sleep(60)').catch((error) => error)
      expect(tooLong).toBeInstanceOf(EngineUnavailable)
      expect(tooLong.message).toMatch(/statement timeout/)
      const [row] = await database.transaction((transaction) => transaction.query('select 1 as one from pg_sleep(2)'), {
        statementTimeoutMs: 50_000,
      })
      expect(row).toEqual({ one: 1 })
    } finally {
      await database.close()
    }
  })

  test('that fails in a transaction fails the transaction, also when its error is kept from it', async () => {
    await test1.database.query('create table public.kept (n integer)')
    const hushed = test1.database.transaction(async (transaction) => {
      await transaction.query('insert into kept values (1)')
      await transaction.query('select 1 / 0').catch(() => undefined)
    })
    await expect(hushed).rejects.toThrow('ended with ROLLBACK')
    expect(await test1.database.query('select n from kept')).toEqual([])
  })

  test('that deadlocks or is cancelled may succeed later; one that is wrong may not', () => {
    const failed = (code: string) => Object.assign(new Error('no'), { code })
    expect(
      ['40P01', '57014', '25P03', '57P01', '53300', 'EHOSTUNREACH', 'ENETUNREACH', 'EMFILE', 'ECONNRESET']
        .map(failed)
        .map(isTransient),
    ).toEqual(Array(9).fill(true))
    expect(['23505', '42601', '54001', '22P02', 'OL001'].map(failed).map(isTransient)).toEqual(Array(5).fill(false))
  })
})

describe('a PostgreSQL that an operator has to see to', () => {
  let test1: TestDatabase
  const role = `orderlog_changing_${process.pid}`
  const address = (user: string, password: string) => {
    const url = new URL(test1.url)
    url.username = user
    url.password = password
    return url.href
  }
  const asRole = () => openDatabase(address(role, 'one'), { max: 2, logger })
  beforeAll(async () => {
    test1 = await openTestDatabase()
    await test1.database.query(`create role ${role} login password 'one'`)
  })
  afterAll(async () => {
    await test1.database.query(`drop role ${role}`)
    await test1.drop()
  })

  test('is unavailable while it lets nobody in with the password of yesterday', async () => {
    const database = asRole()
    try {
      expect(await database.query('select 1 as one')).toEqual([{ one: 1 }])
      await test1.database.query(`alter role ${role} password 'two'`)
      await database.query('select pg_terminate_backend(pg_backend_pid())').catch(() => undefined)
      await expect(database.query('select 1')).rejects.toThrow(EngineUnavailable)
      await expect(database.transaction((own) => own.query('select 1'))).rejects.toThrow(/password authentication/)
      await test1.database.query(`alter role ${role} password 'one'`)
      expect(await database.query('select 1 as one')).toEqual([{ one: 1 }])
    } finally {
      await database.close()
    }
  })

  test('is unavailable while it does not let us do what we must', async () => {
    const database = asRole()
    try {
      const refused = await database.query('select from log.events').catch((error) => error)
      expect(refused).toBeInstanceOf(EngineUnavailable)
      expect(refused.message).toMatch(/permission denied/)
    } finally {
      await database.close()
    }
  })

  test('is unavailable while the database is gone', async () => {
    const dropped = await openTestDatabase({ migrated: false })
    const database = openDatabase(dropped.url, { max: 1, logger })
    await dropped.drop()
    await expect(database.query('select 1')).rejects.toThrow(EngineUnavailable)
    await database.close()
  })

  test.each([['alone'], ['in a transaction']])(
    'prepares anew what a changed table has made useless: %s',
    async (how) => {
      const database = openDatabase(test1.url, { max: 1, logger })
      const statement = { name: 'changing', text: 'select * from public.changing' }
      const read = () =>
        how === 'alone' ? database.execute(statement) : database.transaction((own) => own.execute(statement))
      try {
        await database.query('create table public.changing (n integer)')
        expect(await read()).toEqual([])
        await test1.database.query('alter table public.changing add column m integer')
        await expect(read()).rejects.toThrow(EngineUnavailable)
        expect(await read()).toEqual([])
      } finally {
        await test1.database.query('drop table public.changing')
        await database.close()
      }
    },
  )
})

describe('leases', () => {
  test('that close while they connect leave no connection behind', async () => {
    const { database, drop } = await openTestDatabase()
    const count = `select count(*)::int as n from pg_stat_activity
      where datname = current_database() and query like '%pg_try_advisory_lock%' and pid <> pg_backend_pid()`
    try {
      let connecting: (() => void) | undefined
      const begun = new Promise<void>((resolve) => {
        connecting = resolve
      })
      const slow: Database = {
        ...database,
        connect: async () => {
          const client = await database.connect()
          connecting?.()
          await new Promise((resolve) => setImmediate(resolve))
          return client
        },
      }
      const leases = openLeases({ database: slow, logger })
      const waiting = leases.acquire('x', new AbortController().signal)
      await begun
      await leases.close()
      expect(await waiting).toBeUndefined()
      await expect.poll(() => database.query(count)).toEqual([{ n: 0 }])
    } finally {
      await drop()
    }
  })

  test('that were granted in the last words of a connection are held by nobody, and are asked for again', async () => {
    const { database, drop } = await openTestDatabase()
    const ended: Promise<unknown>[] = []
    const mortal: Database = {
      ...database,
      connect: async () => {
        const client = await database.connect()
        const dying = ended.length === 0
        ended.push(new Promise((resolve) => client.once('end', () => resolve(undefined))))
        const query = client.query.bind(client) as (...words: unknown[]) => Promise<unknown>
        const lastWords = async (...words: unknown[]) => {
          const answer = await query(...words)
          if (dying) client.emit('error', new Error('gone'))
          return answer
        }
        return Object.assign(client, { query: lastWords })
      },
    }
    const leases = openLeases({ database: mortal, logger, retryMs: 5 })
    try {
      const lease = await leases.acquire('x', new AbortController().signal)
      await ended[0]
      const held = await database.query(
        `select from pg_locks where locktype = 'advisory' and granted
           and database = (select oid from pg_database where datname = current_database())`,
      )
      expect([held.length, lease?.lost.aborted]).toEqual([1, false])
    } finally {
      await leases.close()
      await drop()
    }
  })
})
