import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { keepingInPostgres } from './compose-log-guard.ts'
import type { EventStore } from './event-store.ts'
import { EngineUnavailable } from './failures.ts'
import { createLogGuard, type Keeping } from './log-guard.ts'
import type { Trail } from './log-trail.ts'
import { silentLogger as logger } from './logging.ts'
import { createMetrics } from './metrics.ts'
import { openPostgresEventStore } from './postgres-event-store.ts'
import { createPutBackRecords, removePutBack } from './put-back-records.ts'

let rig: TestDatabase
let store: EventStore & { close(): Promise<void> }
beforeEach(async () => {
  rig = await openTestDatabase()
  store = openPostgresEventStore({ database: rig.database, logger, pollMs: 20 })
})
afterEach(async () => {
  await store.close()
  await rig.drop()
})

const database = () => rig.database
const records = () => createPutBackRecords(database())
const grow = (count: number) => store.append(newStream(), newEvents(count), 'none')

/** The log alone: what stands beside it in PostgreSQL stays. */
const putLogBack = (position: bigint): Promise<void> =>
  database().transaction(async (transaction) => {
    await transaction.query('alter table log.events disable trigger append_only')
    await transaction.query('delete from log.events where position > $1', [position])
    await transaction.query('alter table log.events enable always trigger append_only')
  })

const stand = async (consumer: string, position: bigint): Promise<void> => {
  await database().query(
    `insert into platform.checkpoints (consumer, partition, position, log_identity) values ($1, 0, $2, $3)
     on conflict (consumer, partition) do update set position = excluded.position`,
    [consumer, position, await store.identity()],
  )
}

/** An engine beside PostgreSQL, with a consumer `board` in it, and with generations of it that are not live. */
const openEngine = () => {
  const engine = {
    position: 0n,
    others: {} as Record<string, bigint>,
    trail: undefined as Trail | undefined,
    away: false,
  }
  const answering = () => {
    if (engine.away) throw new EngineUnavailable('Redis', new Error('gone'))
  }
  const keeping: Keeping = {
    engine: 'Redis',
    has: (consumer) => consumer === 'board',
    checkpoints: async () => {
      answering()
      return Object.entries({ board: engine.position, ...engine.others }).map(([consumer, position]) => ({
        ...{ consumer, position },
        log: undefined,
      }))
    },
    trail: {
      read: async () => {
        answering()
        return engine.trail
      },
      write: async (trail) => {
        answering()
        engine.trail = trail
      },
    },
  }
  return { engine, keeping }
}

const guardOver = (...keepings: readonly Keeping[]) => {
  const metrics = createMetrics()
  return { metrics, ...createLogGuard({ store, keepings, records: records(), logger, metrics, everyMs: 10 }) }
}

/** A process that keeps the trails until they tell of the last event. */
const keepTrail = async (...keepings: readonly Keeping[]): Promise<void> => {
  const stop = new AbortController()
  const running = guardOver(...keepings).run(stop.signal)
  const last = await store.last()
  for (const { trail } of keepings)
    await eventually(
      () => trail.read(),
      (read) => read?.places[0]?.id === last?.id,
      { what: 'the trail' },
    )
  stop.abort()
  await running
}

test('a log that grows, and consumers that follow it, are nothing to speak of', async () => {
  const keeping = keepingInPostgres(database())
  await grow(3)
  await stand('orders', 3n)
  await keepTrail(keeping)
  await grow(40)
  await stand('orders', 43n)
  await keepTrail(keeping)
  expect(await guardOver(keeping).examine()).toEqual([])
  expect(await guardOver(keeping).ahead('orders')).toBeUndefined()
})

test('a checkpoint beyond the end of the log stays ahead however far the log grows', async () => {
  const keeping = keepingInPostgres(database())
  await grow(6)
  await stand('orders', 6n)
  await stand('behind', 2n)
  await putLogBack(4n)
  const why = expect.stringContaining('its checkpoint is 6, the log ends at 4')
  expect(await guardOver(keeping).examine()).toEqual([{ consumer: 'orders', why }])
  await grow(10)
  const guard = guardOver(keeping)
  expect(await guard.ahead('orders')).toEqual(why)
  expect(await guard.ahead('behind')).toBeUndefined()
})

test('a log that was put back and has grown beyond every checkpoint is recognised by its trail', async () => {
  const keeping = keepingInPostgres(database())
  await grow(4)
  await keepTrail(keeping)
  await stand('behind', 3n)
  await grow(2)
  await stand('orders', 6n)
  await keepTrail(keeping)
  await putLogBack(5n)
  await grow(20)
  const found = await guardOver(keeping).examine()
  expect(found).toEqual([{ consumer: 'orders', why: expect.stringContaining('only known to be the same up to 4') }])
  // It is said once; what is built anew is fine.
  await records().remove('orders')
  await stand('orders', 25n)
  expect(await guardOver(keeping).examine()).toEqual([])
})

test('what is mended while somebody looks is not found ahead again', async () => {
  const keeping = keepingInPostgres(database())
  await grow(6)
  await stand('orders', 6n)
  await putLogBack(4n)
  expect(await guardOver(keeping).examine()).toHaveLength(1)
  let mending: Promise<void> | undefined
  let mended = (): void => undefined
  // It begins to be mended once it was seen to be ahead, and is not done when that is written down.
  const slow: Keeping = {
    ...keeping,
    checkpoints: async () => {
      const seen = await keeping.checkpoints()
      await new Promise<void>((begun) => {
        mending = database().transaction(async (transaction) => {
          await transaction.query(
            "update platform.checkpoints set position = 4, generation = generation + 1 where consumer = 'orders'",
          )
          await removePutBack(transaction, 'orders')
          begun()
          await new Promise<void>((resolve) => {
            mended = resolve
          })
        })
      })
      return seen
    },
  }
  const looking = guardOver(slow).examine()
  await eventually(
    () =>
      database().query(
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      ),
    ({ length }) => length > 0,
    { what: 'somebody waiting' },
  )
  mended()
  await mending
  expect(await looking).toEqual([])
})

test('what was rebuilt in its own engine while somebody looked is not found ahead again', async () => {
  const { engine, keeping } = openEngine()
  await database().query("insert into platform.projections (name, version, generation) values ('board', 1, 1)")
  await grow(6)
  engine.position = 6n
  await putLogBack(4n)
  const slow: Keeping = {
    ...keeping,
    checkpoints: async () => {
      const seen = await keeping.checkpoints()
      await database().query("update platform.projections set generation = 2 where name = 'board'")
      return seen
    },
  }
  expect(await guardOver(slow).examine()).toEqual([])
  expect(await guardOver(keeping).examine()).toMatchObject([{ consumer: 'board' }])
})

test('a log that is put back under a running process is noticed', async () => {
  const keeping = keepingInPostgres(database())
  await grow(6)
  await stand('orders', 6n)
  const stop = new AbortController()
  const guard = guardOver(keeping)
  const running = guard.run(stop.signal)
  await eventually(
    () => keeping.trail.read(),
    (trail) => trail?.places[0]?.position === 6n,
    { what: 'the trail' },
  )
  await putLogBack(5n)
  await grow(5)
  await eventually(
    () => guard.metrics.registry.getSingleMetricAsString('orderlog_put_back_consumers'),
    (text) => text.endsWith('orderlog_put_back_consumers 1'),
    { what: 'the metric' },
  )
  stop.abort()
  await running
})

test('an engine that stayed ahead of a PostgreSQL that was put back is found, once it answers', async () => {
  const postgres = keepingInPostgres(database(), ['board'])
  const { engine, keeping } = openEngine()
  await grow(4)
  await stand('orders', 4n)
  await keepTrail(postgres, keeping)
  const trail = await postgres.trail.read()
  await grow(4)
  await stand('orders', 8n)
  engine.position = 8n
  await keepTrail(postgres, keeping)
  engine.others = { 'board@1': 5n, 'board@2': 3n }
  // All of PostgreSQL is as it was at 4.
  if (!trail) throw new Error('no trail')
  await postgres.trail.write(trail)
  await stand('orders', 4n)
  await putLogBack(4n)
  engine.away = true
  expect(await guardOver(postgres, keeping).examine()).toEqual([])
  await expect(guardOver(postgres, keeping).ahead('board')).rejects.toThrow(EngineUnavailable)
  await grow(10)
  engine.away = false
  const guard = guardOver(postgres, keeping)
  expect(await guard.ahead('board')).toMatch(/its checkpoint is 8, but the log is only known to be the same up to 4/)
  // Of those that are kept beside it the one that is ahead as well.
  expect((await guard.examine()).map(({ consumer }) => consumer)).toEqual(['board', 'board@1'])
})

test('a generation that is built from the log that was put back is not ahead with the live one, until it is put back again', async () => {
  const { engine, keeping } = openEngine()
  const found = async () => (await guardOver(keeping).examine()).map(({ consumer }) => consumer)
  await grow(6)
  engine.position = 6n
  await keepTrail(keeping)
  await putLogBack(4n)
  expect(await found()).toEqual(['board'])
  // The live one stays ahead of the end of the log until it is swapped.
  engine.others = { 'board@2': 4n }
  expect(await found()).toEqual(['board'])
  await keepTrail(keeping)
  await grow(4)
  engine.others = { 'board@2': 8n }
  await keepTrail(keeping)
  expect(await found()).toEqual(['board'])
  await putLogBack(7n)
  expect(await found()).toEqual(['board', 'board@2'])
})

test('what was built from another log is found in every engine', async () => {
  const { engine, keeping } = openEngine()
  const other = '00000000-0000-4000-8000-000000000000'
  await grow(4)
  engine.position = 2n
  engine.trail = { log: other, places: [] }
  const why = `built from log ${other}, this is ${await store.identity()}`
  expect(await guardOver(keeping).examine()).toEqual([{ consumer: 'board', why }])
})

test('replies that may speak of lost events are made anew under their first command id, and no snapshot is believed', async () => {
  const keeping = keepingInPostgres(database())
  await grow(6)
  await stand('orders', 6n)
  await database().query(`insert into platform.idempotency_keys (scope, key, body_hash, command_id, owner, claimed_at, renewed_at, reply)
    values ('POST /v1/orders', 'k', '', gen_random_uuid(), gen_random_uuid(), now(), now(), '{}')`)
  await database().query(`insert into platform.snapshots (stream, revision, shape, state) values ('s', 1, 1, '{}')`)
  const ids = () => database().query('select command_id, reply is null as forgotten from platform.idempotency_keys')
  const [before] = (await ids()) as { command_id: string }[]
  await putLogBack(2n)
  await guardOver(keeping).examine()
  expect(await ids()).toEqual([{ command_id: before?.command_id, forgotten: true }])
  expect(await database().query('select from platform.snapshots')).toEqual([])
})

test('the same when nobody is ahead, or everybody who is was known', async () => {
  const keeping = keepingInPostgres(database())
  const remembered = async () =>
    (await database().query('select from platform.idempotency_keys where reply is not null')).length
  const remember = () =>
    database().query(`insert into platform.idempotency_keys (scope, key, body_hash, command_id, owner, claimed_at, renewed_at, reply)
      values ('POST /v1/orders', gen_random_uuid(), '', gen_random_uuid(), gen_random_uuid(), now(), now(), '{}')`)
  await grow(2)
  await keepTrail(keeping)
  await grow(4)
  await stand('orders', 2n)
  await keepTrail(keeping)
  await remember()
  expect(await guardOver(keeping).examine()).toEqual([])
  expect(await remembered()).toBe(1)
  await putLogBack(4n)
  expect(await guardOver(keeping).examine()).toEqual([])
  expect(await remembered()).toBe(0)
  await stand('orders', 4n)
  await putLogBack(3n)
  expect(await guardOver(keeping).examine()).toHaveLength(1)
  await keepTrail(keeping)
  await grow(3)
  await keepTrail(keeping)
  await remember()
  await putLogBack(4n)
  expect(await guardOver(keeping).examine()).toHaveLength(1)
  expect(await remembered()).toBe(0)
})
