import { type ChildProcess, execFile, fork } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { dataDirectory, isAlive } from './embedded-postgres-cluster.ts'
import { findPostmaster, stopPostmaster } from './embedded-postgres-postmaster.ts'
import { silentLogger } from './logging.ts'

const repository = join(import.meta.dirname, '..')
const compiled = join(repository, 'node_modules', '.cache', 'orderlog-embedded-postgres')

/** What to do after each test, last first. */
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const newDirectory = async (): Promise<string> => {
  const root = await mkdtemp(join(tmpdir(), 'orderlog-embedded-'))
  cleanups.push(() => rm(root, { recursive: true, force: true }))
  return join(root, 'postgres')
}

const start = async (directory: string): Promise<EmbeddedPostgres> => {
  const postgres = await startEmbeddedPostgres({ directory, logger: silentLogger })
  cleanups.push(() => postgres.stop())
  return postgres
}

const query = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  return (await client.query(text).finally(() => client.end().catch(() => undefined))).rows
}

interface Child {
  readonly process: ChildProcess
  readonly pid: number
  /** Of its PostgreSQL. */
  readonly server: { pid: number; url: string }
  kill(): Promise<void>
}

const childSource = `
import { startEmbeddedPostgres } from './platform/embedded-postgres.js'
const logger = { info() {}, warn() {}, error() {} }
process.on('message', () => process.exit(0))
try {
  const postgres = await startEmbeddedPostgres({ directory: process.argv[2], logger })
  process.send({ pid: postgres.pid(), url: postgres.url })
} catch (error) {
  process.send({ failure: error.message })
}
`

/** Starts it in a process of its own, from the JavaScript of `code`. */
const forkOn = (code: string, directory: string): ChildProcess => {
  const child = fork(join(code, 'child.mjs'), [directory], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  cleanups.push(() => child.kill('SIGKILL'))
  return child
}

const startChild = async (directory: string, code = compiled): Promise<Child> => {
  const child = forkOn(code, directory)
  const message = await new Promise<{ pid: number; url: string } | { failure: string }>((resolve) => {
    child.once('message', (sent) => resolve(sent as { pid: number; url: string }))
    child.once('exit', (status) => resolve({ failure: `exit ${status}` }))
  })
  if ('failure' in message) throw new Error(message.failure)
  cleanups.push(async () => {
    // The child first, or it brings its server back.
    child.kill('SIGKILL')
    const server = await findPostmaster(dataDirectory(directory))
    if (server) await stopPostmaster(server)
  })
  const kill = () =>
    new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.kill('SIGKILL')
    })
  return { process: child, pid: child.pid ?? 0, server: message, kill }
}

beforeAll(async () => {
  const settings = {
    extends: join(repository, 'tsconfig.build.json'),
    compilerOptions: {
      outDir: compiled,
      rootDir: repository,
      incremental: false,
      sourceMap: false,
      typeRoots: [join(repository, 'node_modules', '@types')],
    },
    include: [join(repository, 'platform', 'embedded-postgres.ts')],
  }
  await rm(compiled, { recursive: true, force: true })
  await mkdir(compiled, { recursive: true })
  await writeFile(join(compiled, 'tsconfig.json'), JSON.stringify(settings))
  await promisify(execFile)(process.execPath, [
    join(repository, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    compiled,
  ])
  await writeFile(join(compiled, 'package.json'), '{ "type": "module" }')
  await writeFile(join(compiled, 'child.mjs'), childSource)
})

describe('the embedded PostgreSQL', () => {
  test('starts from nothing, durable, and keeps its data from one start to the next', async () => {
    const directory = await newDirectory()
    const first = await start(directory)
    await query(first.url, 'create table kept as select 42 as answer')
    const settings = `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit,
      current_setting('server_encoding') as encoding, current_setting('listen_addresses') as address`
    expect(await query(first.url, settings)).toEqual([
      { fsync: 'on', commit: 'on', encoding: 'UTF8', address: '127.0.0.1' },
    ])
    await first.stop()
    expect(isAlive(first.pid())).toBe(false)

    const second = await start(directory)
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }])
  })

  test('durability cannot be switched off by a setting, other things can be set', async () => {
    const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '23' }
    const postgres = await startEmbeddedPostgres({ directory: await newDirectory(), logger: silentLogger, settings })
    cleanups.push(() => postgres.stop())
    const names = "('fsync', 'synchronous_commit', 'full_page_writes', 'max_connections')"
    const found = await query(postgres.url, `select name, setting from pg_settings where name in ${names}`)
    expect(Object.fromEntries(found.map(({ name, setting }) => [name, setting]))).toEqual({
      fsync: 'on',
      synchronous_commit: 'on',
      full_page_writes: 'on',
      max_connections: '23',
    })
  })

  test('lets nobody in without its password', async () => {
    const { url } = await start(await newDirectory())
    await expect(query(url.replace(/:[0-9a-f]{48}@/, ':guess@'), 'select 1')).rejects.toThrow('password')
  })

  test('refuses a second start on the same directory in one sentence that names the first', async () => {
    const directory = await newDirectory()
    const first = await startChild(directory)
    const refusal = startEmbeddedPostgres({ directory, logger: silentLogger })
    await expect(refusal).rejects.toMatchObject({ name: 'StartupError' })
    await expect(refusal).rejects.toThrow(`The embedded PostgreSQL in ${directory} is in use by process ${first.pid}`)
    expect(await query(first.server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('lets one of two simultaneous first starts win and refuses the other', async () => {
    const directory = await newDirectory()
    const outcomes = await Promise.allSettled([startChild(directory), startChild(directory)])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const refused = outcomes.find((outcome) => outcome.status === 'rejected')
    expect(String(refused?.reason)).toContain('is in use by process')
    const won = outcomes.find((outcome) => outcome.status === 'fulfilled')
    expect(await query(won?.value.server.url ?? '', 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('takes over the server that a killed process left behind', async () => {
    const directory = await newDirectory()
    const first = await startChild(directory)
    await query(first.server.url, 'create table kept as select 42 as answer')
    await first.kill()

    const second = await start(directory)
    expect(second.pid()).toBe(first.server.pid)
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }])
    await second.stop()
    expect(isAlive(first.server.pid)).toBe(false)
  })

  test('stops with a process that exits without stopping it', async () => {
    const { process: child, server } = await startChild(await newDirectory())
    child.send('exit')
    await expect.poll(() => isAlive(server.pid)).toBe(false)
  })

  const killUnderLoad = async (postgres: EmbeddedPostgres): Promise<void> => {
    const { url } = postgres
    await query(url, 'create table counted (n int primary key)')
    const pool = new pg.Pool({ connectionString: url, max: 4 })
    pool.on('error', () => undefined)
    cleanups.push(() => pool.end())
    const acknowledged: number[] = []
    let next = 0
    let loading = true
    const writer = async () => {
      while (loading) {
        const n = next++
        const written = await pool.query('insert into counted values ($1)', [n]).then(
          () => true,
          () => false,
        )
        if (written) acknowledged.push(n)
        else await new Promise(setImmediate)
      }
    }
    const writers = [writer(), writer(), writer(), writer()]
    await expect.poll(() => acknowledged.length).toBeGreaterThan(50)
    const killed = postgres.pid()
    process.kill(killed, 'SIGKILL')
    await expect.poll(() => postgres.pid()).not.toBe(killed)
    const before = acknowledged.length
    await expect.poll(() => acknowledged.length).toBeGreaterThan(before + 50)
    loading = false
    await Promise.all(writers)
    const stored = new Set((await query(url, 'select n from counted')).map(({ n }) => n))
    expect(acknowledged.filter((n) => !stored.has(n))).toEqual([])
  }

  test('comes back on the same port with everything acknowledged when it is killed under load, twice', async () => {
    const postgres = await start(await newDirectory())
    await killUnderLoad(postgres)
    await query(postgres.url, 'drop table counted')
    await killUnderLoad(postgres)
  })

  test('comes back although a backend of the killed server is still working', async () => {
    const postgres = await start(await newDirectory())
    const killed = postgres.pid()
    const endless = query(postgres.url, 'select count(*) from generate_series(1, 1e15::bigint)').catch(() => 'cut')
    const working =
      "select from pg_stat_activity where state = 'active' and query like '%generate_series(1,%' and pid <> pg_backend_pid()"
    await expect.poll(async () => (await query(postgres.url, working)).length).toBe(1)
    process.kill(killed, 'SIGKILL')
    await expect.poll(() => postgres.pid()).not.toBe(killed)
    expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await endless).toBe('cut')
  })

  test('is brought back too when it was taken over, and is then still nobody else’s', async () => {
    const directory = await newDirectory()
    await (await startChild(directory)).kill()
    await killUnderLoad(await start(directory))
    await expect(startChild(directory)).rejects.toThrow(`is in use by process ${process.pid}`)
  })

  test('keeps the directory when only its own connection was cut', async () => {
    const directory = await newDirectory()
    const postgres = await start(directory)
    const pid = postgres.pid()
    const holders =
      "select pid, pg_terminate_backend(pid) from pg_stat_activity where application_name like 'orderlog process%'"
    const [cut] = await query(postgres.url, holders)
    const holder = "select pid from pg_locks where locktype = 'advisory' and granted"
    await expect.poll(async () => (await query(postgres.url, holder))[0]?.pid ?? cut?.pid).not.toBe(cut?.pid)
    await expect(startChild(directory)).rejects.toThrow(`is in use by process ${process.pid}`)
    expect(postgres.pid()).toBe(pid)
  })

  test('is not kept from starting by a first start that was killed half way', async () => {
    let directory = ''
    const initialised = async () => (await readdir(directory).catch(() => [])).filter((name) => name !== 'owner.pid')
    const killHalfWay = async (): Promise<void> => {
      directory = await newDirectory()
      const child = forkOn(compiled, directory)
      await expect.poll(async () => (await initialised()).length, { interval: 5 }).toBeGreaterThan(0)
      const killed = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await killed
    }
    // Whoever looks too late has missed the half.
    do await killHalfWay()
    while ((await initialised()).includes('cluster'))
    expect(await initialised()).toContainEqual(expect.stringMatching('initialising'))

    const postgres = await start(directory)
    expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await initialised()).toEqual(['cluster', 'postgres.log'])
  })

  test.skipIf(process.getuid?.() !== 0)(
    'runs for root in a folder closed to others, without install scripts',
    async () => {
      const closed = await mkdtemp(join(tmpdir(), 'orderlog-closed-'))
      cleanups.push(() => rm(closed, { recursive: true, force: true }))
      await cp(compiled, closed, { recursive: true })
      const modules = join(repository, 'node_modules')
      await mkdir(join(closed, 'node_modules'))
      for (const name of ['pg', 'pg-copy-streams'])
        await symlink(join(modules, name), join(closed, 'node_modules', name))
      for (const name of ['embedded-postgres', '@embedded-postgres'])
        await cp(join(modules, name), join(closed, 'node_modules', name), {
          recursive: true,
          // As a tarball brings it: no links.
          filter: (file) => !/\.so(\.\d+)?$/.test(file) || !/lib(icu|ecpg|pq|pgtypes)/.test(file),
        })
      await chmod(closed, 0o700)
      const child = await startChild(join(closed, 'data', 'postgres'), closed)
      expect(await query(child.server.url, 'select 1 as one')).toEqual([{ one: 1 }])
      child.process.send('exit')
      await expect.poll(() => isAlive(child.server.pid)).toBe(false)
    },
  )
})
