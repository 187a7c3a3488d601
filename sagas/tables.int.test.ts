import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openDatabase } from '../platform/database.ts'
import { startEmbeddedPostgres } from '../platform/embedded-postgres.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { migrate } from '../platform/migrate.ts'
import { eventually } from '../test/support/eventually.ts'
import { createSagaTables, type InstanceRow } from './tables.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const orderId = '00000000-0000-4000-8000-000000000001'
const at = '2026-03-01T09:00:00.000Z'
const row: InstanceRow = {
  ...{ orderId, customerId: 'ada', status: 'waiting', waitingFor: 'payment', parkedStep: null, error: null },
  ...{ sagaVersion: 1, revision: 3n, startedAt: at, updatedAt: at, attempts: 0 },
  timers: [{ name: 'reservation-deadline', dueAt: at }],
}

test('a crash of PostgreSQL takes no instance and no timer that was saved', async () => {
  const root = await mkdtemp(join(tmpdir(), 'orderlog-saga-'))
  closing.push(() => rm(root, { recursive: true, force: true }))
  const postgres = await startEmbeddedPostgres({ directory: join(root, 'postgres'), logger })
  closing.push(() => postgres.stop())
  await migrate(postgres.url, logger)
  const database = openDatabase(postgres.url, { max: 2, logger })
  closing.push(() => database.close())
  // Nobody writes the log of the server to the disk any more but who waits for that.
  const writers = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where backend_type in ('walwriter', 'background writer', 'checkpointer')`,
  )
  expect(writers).toHaveLength(3)
  for (const { pid } of writers) process.kill(pid, 'SIGSTOP')
  const killed = postgres.pid()
  try {
    await createSagaTables(database).save(row)
  } finally {
    for (const pid of [killed, ...writers.map((writer) => writer.pid)]) process.kill(pid, 'SIGKILL')
  }
  await eventually(
    async () => postgres.pid(),
    (pid) => pid !== killed,
    { what: 'PostgreSQL again' },
  )
  const saved = await eventually(
    () => database.query('select status, name from saga.instances join saga.timers using (order_id)').catch(() => null),
    (rows) => rows !== null,
    { what: 'an answer' },
  )
  expect(saved).toEqual([{ status: 'waiting', name: 'reservation-deadline' }])
}, 60_000)
