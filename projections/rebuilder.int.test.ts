import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { silentLogger } from '../platform/logging.ts'
import { createPostgresLeaderboardStore } from '../platform/postgres-leaderboard-store.ts'
import { eventually } from '../test/support/eventually.ts'
import { orderLife } from '../test/support/order-events.ts'
import { intercepted, startOrderWriters } from '../test/support/order-writers.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { leaderboards } from './leaderboards.ts'
import { orderDetails } from './order-details.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'
import { rebuildStale } from './rebuild-stale.ts'
import { postgresProjections } from './registry.ts'

let rig: ProjectionRig
let rebuilds: RebuildRig
let projections: readonly Projection[]
beforeEach(async () => {
  rig = await openProjectionRig()
  const { database } = rig
  projections = [
    ...postgresProjections({ database, vault: createTestVault() }),
    leaderboards({ store: createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock: systemClock }) }),
  ]
  rebuilds = openRebuildRig(rig, projections)
})
afterEach(async () => {
  await rebuilds.close()
  await rig.close()
})

const named = (name: string): Projection => {
  const projection = projections.find((each) => each.name === name)
  if (!projection) throw new Error(name)
  return projection
}

const tables: Readonly<Record<string, string>> = {
  order_details: 'select * from {}.orders order by order_id',
  order_timeline: 'select * from {}.entries order by order_id, position',
  sales: 'select * from {}.days order by day, currency',
  leaderboards: 'select * from {}.scores where score <> 0 order by span, bucket, board, measure, currency, key',
}
const rowsOf = (name: string, schema = name) =>
  rig.rows<Record<string, unknown>>((tables[name] ?? '').replace('{}', schema))

test('what is built beside the live read model takes its place, and equals it', async () => {
  const lives = Array.from({ length: 30 }, (_, index) => orderLife({ customerId: `c-${index % 7}` }))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed, life.shipped]))
  await append(rig.store, ...lives.slice(0, 9).map((life) => life.cancelled(true)))
  const names = Object.keys(tables)
  const live = names.map((name) => rig.start(named(name)))
  for (const projector of live) await projector.caughtUp()
  const before = await Promise.all(names.map((name) => rowsOf(name)))
  // What only a rebuild mends.
  await rig.rows("update order_details.orders set status = 'lost'")

  rebuilds.startRebuilder()
  const started = await rebuilds.service.start(names, operator)
  expect(new Set(started.map(({ run }) => run)).size).toBe(1)
  for (const name of names) {
    const done = await rebuilds.comes(name, 'done')
    expect(done).toMatchObject({ phase: 'done', generation: 2, eventsDone: done.eventsTotal, operator: 'ada' })
  }
  const after = await Promise.all(names.map((name) => rowsOf(name)))
  expect(after).toEqual(before)
  const indexes = async (schema: string) =>
    (
      await rig.rows<{ name: string }>('select indexname as name from pg_indexes where schemaname = $1 order by 1', [
        schema,
      ])
    ).map(({ name }) => name)
  expect(await indexes('order_details')).toEqual(await indexes('order_details_g1'))

  // The live projectors go on in the new generation.
  const more = orderLife({})
  await append(rig.store, more.placed, more.confirmed)
  for (const projector of live) await projector.caughtUp()
  expect(await rig.rows('select status from order_details.orders where order_id = $1', [more.orderId])).toEqual([
    { status: 'confirmed' },
  ])
  expect(await rebuilds.service.generations('order_details')).toMatchObject([
    { generation: 1, state: 'kept' },
    { generation: 2, state: 'live' },
  ])
})

test('while four writers append at full speed it ends, and nothing is lost or counted twice', async () => {
  const names = Object.keys(tables)
  const live = names.map((name) => rig.start(named(name)))
  const writers = startOrderWriters(rig.store)
  await eventually(
    async () => writers.orders(),
    (orders) => orders > 100,
  )
  rebuilds.startRebuilder()
  await rebuilds.service.start(names, operator)
  for (const name of names) await rebuilds.comes(name, 'done')
  await writers.end()
  for (const projector of live) await projector.caughtUp()
  const [{ orders } = { orders: 0 }] = await rig.rows<{ orders: number }>(
    'select count(*)::int as orders from order_details.orders',
  )
  expect(orders).toBe(writers.orders())
  const swapped = await Promise.all(names.map((name) => rowsOf(name)))

  // Built once more with nobody at work.
  await rebuilds.service.start(names, operator)
  for (const name of names)
    await eventually(
      () => rebuilds.last(name),
      (rebuild) => rebuild.generation === 3 && rebuild.state === 'done',
    )
  expect(await Promise.all(names.map((name) => rowsOf(name)))).toEqual(swapped)
})

test('readers never see a gap, an empty table or an older state, and tokens hold across the swap', async () => {
  const lives = Array.from({ length: 200 }, () => orderLife({}))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
  const projector = rig.start(named('order_details'))
  await projector.caughtUp()
  const writers = startOrderWriters(rig.store, 1)
  let reading = true
  const seen: bigint[] = []
  const reader = (async () => {
    while (reading) {
      // What a token does: first where the read model stands, then what it holds.
      const [checkpoint] = await rig.rows<{ position: bigint }>(
        "select position from platform.checkpoints where consumer = 'order_details' and partition = 0",
      )
      const [found] = await rig.database.execute<{ orders: bigint; position: bigint }>({
        name: 'reader',
        text: 'select count(*) as orders, max(position) as position from order_details.orders',
      })
      if (!found || !checkpoint || found.orders < 200n) throw new Error('a reader saw a gap')
      const [event] = await rig.rows<{ position: bigint }>(
        "select max(position) as position from log.events where position <= $1 and type like 'order.%'",
        [checkpoint.position],
      )
      if (found.position < (event?.position ?? 0n))
        throw new Error(`a reader saw ${found.position} where ${event?.position} had been reached`)
      seen.push(found.orders)
    }
  })()
  reader.catch(() => undefined)
  rebuilds.startRebuilder()
  for (let generation = 2; generation <= 4; generation += 1) {
    await rebuilds.service.start(['order_details'], operator)
    await eventually(
      () => rebuilds.last('order_details'),
      (rebuild) => rebuild.generation === generation && rebuild.state === 'done',
    )
  }
  await writers.end()
  reading = false
  await reader
  expect(seen).toEqual([...seen].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)))
})

test('a rebuild that dies in any phase is taken up where it stood by another process', async () => {
  const lives = Array.from({ length: 400 }, () => orderLife({}))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
  const projector = rig.start(named('order_details'))
  await projector.caughtUp()
  const phases: string[] = []
  // Each process dies at the first step that it completes.
  await rebuilds.service.start(['order_details'], operator)
  for (let tries = 0; tries < 30; tries += 1) {
    const before = await rebuilds.last('order_details')
    if (before.state === 'done') break
    phases.push(before.phase)
    const { stop } = rebuilds.startRebuilder({ pollMs: 5 })
    await eventually(
      () => rebuilds.last('order_details'),
      (now) => now.phase !== before.phase || now.position > before.position || now.state === 'done',
      { everyMs: 1 },
    )
    await stop()
  }
  await rebuilds.comes('order_details', 'done')
  expect(phases.length).toBeGreaterThan(1)
  await projector.caughtUp()
  const rows = await rowsOf('order_details')
  expect(rows).toHaveLength(400)
  expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['confirmed']))
})

test('a projection is rebuilt once at a time; it is cancelled, resumed and dropped', async () => {
  const lives = Array.from({ length: 50 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  await rig.start(named('order_details')).caughtUp()
  const { service } = rebuilds
  const begun = await service.start(['order_details'], operator)
  await expect(service.start(['order_details', 'sales'], operator)).rejects.toMatchObject({ code: 'rebuild-running' })
  expect(await service.rebuilds('sales')).toEqual([])
  await expect(service.start(['nothing'], operator)).rejects.toMatchObject({ code: 'projection-not-found' })
  await expect(service.start(['personal_data_eraser'], operator)).rejects.toMatchObject({ code: 'nothing-to-rebuild' })
  await expect(service.cancel('sales', operator)).rejects.toMatchObject({ code: 'rebuild-not-found' })
  expect(await service.cancel('order_details', operator)).toMatchObject({ state: 'cancelled' })
  rebuilds.startRebuilder()
  await expect(service.start(['order_details'], operator)).rejects.toMatchObject({ code: 'rebuild-running' })
  expect((await rebuilds.last('order_details')).state).toBe('cancelled')
  await service.resume('order_details', operator)
  expect(await rebuilds.comes('order_details', 'done')).toMatchObject({ run: begun[0]?.run, generation: 2 })
  await expect(service.drop('order_details', 2, operator)).rejects.toMatchObject({ code: 'generation-live' })
  await service.drop('order_details', 1, operator)
  await expect(service.drop('order_details', 1, operator)).rejects.toMatchObject({ code: 'generation-not-found' })
  expect(await rig.rows("select 1 from pg_namespace where nspname like 'order_details\\_g%'")).toEqual([])
  expect(await rig.rows("select 1 from platform.checkpoints where consumer like 'order_details@%'")).toEqual([])
  await expect(service.swapBack('order_details', operator)).rejects.toMatchObject({ code: 'generation-not-found' })
})

test('the generation before is swapped back, with all that has come since', async () => {
  const lives = Array.from({ length: 20 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  const names = ['order_details', 'sales']
  const live = names.map((name) => rig.start(named(name)))
  for (const projector of live) await projector.caughtUp()
  rebuilds.startRebuilder()
  await rebuilds.service.start(names, operator)
  for (const name of names) await rebuilds.comes(name, 'done')
  await append(rig.store, ...lives.map((life) => life.confirmed))
  for (const projector of live) await projector.caughtUp()
  const before = await Promise.all(names.map((name) => rowsOf(name)))
  for (const name of names) {
    await rebuilds.service.swapBack(name, operator)
    await eventually(
      () => rebuilds.last(name),
      (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
    )
  }
  expect(await Promise.all(names.map((name) => rowsOf(name)))).toEqual(before)
  await append(rig.store, ...lives.slice(0, 5).map((life) => life.cancelled(true)))
  for (const projector of live) await projector.caughtUp()
  expect(await rowsOf('sales')).toMatchObject([{ orders: 20n, cancelled_orders: 5n }])
})

test('another version of the code is told so, rebuilds, and the one before can be swapped back', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed)
  const old = rig.start(named('order_details'))
  await old.caughtUp()
  const version2 = createPostgresProjection(rig.database, { ...orderDetails(createTestVault()), version: 2 })
  const next = openRebuildRig(rig, [version2])
  try {
    expect(await next.service.stale()).toMatchObject([
      { projection: 'order_details', why: 'built by version 1, code is 2', outdated: true },
    ])
    const late = rig.start(version2)
    next.startRebuilder()
    await next.service.start(['order_details'], operator)
    await next.comes('order_details', 'done')
    // The old code writes nothing into what is not its own, though it stands at the same position.
    await append(rig.store, life.confirmed)
    await old.stopped()
    expect(old.status().error).toContain('built by version 2, code is 1')
    await late.caughtUp()
    expect(await next.service.stale()).toEqual([])

    await late.stop()
    await next.service.swapBack('order_details', operator)
    await eventually(
      () => next.last('order_details'),
      (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
    )
    // At once, as it was left; the code of its version goes on with it.
    await old.caughtUp()
    expect(await rig.rows('select status from order_details.orders')).toEqual([{ status: 'confirmed' }])
  } finally {
    await next.close()
  }
})

test('an event that fails is parked in the new generation as in the live one, and others flow', async () => {
  const [poisoned, sound] = [orderLife({}), orderLife({})]
  const definition = orderDetails(createTestVault())
  const broken = createPostgresProjection(rig.database, {
    ...definition,
    apply: async (transaction, schema, events, how) => {
      if (events.some((event) => event.type === 'OrderConfirmed' && event.data.orderId === poisoned.orderId))
        throw new TypeError('cannot be confirmed')
      await definition.apply(transaction, schema, events, how)
    },
  })
  await append(rig.store, poisoned.placed, sound.placed, poisoned.confirmed, sound.confirmed, poisoned.shipped)
  const projector = rig.start(broken, { policy: { maxAttempts: 1 } })
  await projector.caughtUp()
  const parked = () =>
    rig.rows<{ projection: string }>(
      'select projection, stream, revision, status from platform.parked_events order by position',
    )
  const before = await parked()
  expect(before).toHaveLength(2)
  const mine = openRebuildRig(rig, [broken])
  try {
    mine.startRebuilder({ policy: { maxAttempts: 1 } })
    await mine.service.start(['order_details'], operator)
    await mine.comes('order_details', 'done')
    expect((await parked()).filter(({ projection }) => projection === 'order_details')).toEqual(before)
    expect(await rig.rows('select status from order_details.orders order by position')).toEqual([
      { status: 'placed' },
      { status: 'confirmed' },
    ])
  } finally {
    await mine.close()
  }
})

test('a full disk or a statement that takes too long stops it with the reason, and it is resumed', async () => {
  const lives = Array.from({ length: 20 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  await rig.start(named('order_details')).caughtUp()
  let full = true
  const projection = intercepted(named('order_details'), async (generation, batch, go) => {
    if (full && generation === 2 && batch.events.length > 0)
      // PostgreSQL's own words, by the real thing: an error of class 53.
      await rig.rows(
        `do $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`,
      )
    return go()
  })
  const mine = openRebuildRig(rig, [projection])
  try {
    mine.startRebuilder()
    await mine.service.start(['order_details'], operator)
    const failed = await mine.comes('order_details', 'failed')
    expect(failed.error).toContain('No space left on device')
    expect(await rowsOf('order_details')).toHaveLength(20)
    full = false
    await mine.service.resume('order_details', operator)
    await mine.comes('order_details', 'done')
    expect(await rowsOf('order_details')).toHaveLength(20)
  } finally {
    await mine.close()
  }
})

test('a generation that differs from the log is not swapped in', async () => {
  await append(rig.store, orderLife({}).placed)
  await rig.start(named('order_details')).caughtUp()
  let differs: string | undefined = 'order 1: status'
  rebuilds.startRebuilder({ verify: async () => differs })
  await rebuilds.service.start(['order_details'], operator)
  const failed = await rebuilds.comes('order_details', 'failed')
  expect(failed).toMatchObject({
    phase: 'verifying',
    error: 'the new generation differs from the log: order 1: status',
  })
  expect(await rebuilds.service.generations('order_details')).toMatchObject([
    { generation: 1, state: 'live' },
    { generation: 2, state: 'building' },
  ])
  differs = undefined
  await rebuilds.service.resume('order_details', operator)
  await rebuilds.comes('order_details', 'done')
})

test('a plan says what will be read, and leaves nothing behind', async () => {
  const lives = Array.from({ length: 10 }, () => orderLife({}))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
  const [plan] = await rebuilds.service.plan(['order_details'])
  expect(plan).toMatchObject({
    projection: 'order_details',
    eventsByType: { 'order.placed.v2': 10n, 'order.confirmed.v1': 10n },
    eventsTotal: 20n,
    rowsExpected: 10n,
    eventsPerSecond: expect.any(Number),
    secondsExpected: expect.any(Number),
  })
  expect(await rig.rows("select 1 from pg_namespace where nspname like 'order_details%'")).toEqual([])
  expect(await rig.rows("select 1 from platform.checkpoints where consumer like 'order_details%'")).toEqual([])
})

test('a process that stops while it verifies leaves the rebuild to the next one', async () => {
  await append(rig.store, orderLife({}).placed)
  await rig.start(named('order_details')).caughtUp()
  let verifying = () => {}
  const begun = new Promise<void>((resolve) => {
    verifying = resolve
  })
  const first = rebuilds.startRebuilder({
    verify: async (_name, _generation, _sample, signal) => {
      verifying()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      signal.throwIfAborted()
      return undefined
    },
  })
  await rebuilds.service.start(['order_details'], operator)
  await begun
  await first.stop()
  expect(await rebuilds.last('order_details')).toMatchObject({ state: 'running', phase: 'verifying' })
  rebuilds.startRebuilder()
  await rebuilds.comes('order_details', 'done')
})

test('cancelled and dropped while its swap waits for the live writer, it is not swapped in', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed)
  const projector = rig.start(named('order_details'))
  await projector.caughtUp()
  const writer = await rig.database.connect()
  await writer.query("begin; select 1 from platform.checkpoints where consumer = 'order_details' for update")
  rebuilds.startRebuilder()
  const { service } = rebuilds
  await service.start(['order_details'], operator)
  await eventually(
    () => rebuilds.last('order_details'),
    ({ phase }) => phase === 'swapping',
  )
  await service.cancel('order_details', operator)
  const dropped = service.drop('order_details', 2, operator)
  await writer.query('commit')
  await writer.end()
  await dropped
  await append(rig.store, life.confirmed)
  await projector.caughtUp()
  expect(await rig.rows('select status from order_details.orders')).toEqual([{ status: 'confirmed' }])
  expect(await service.generations('order_details')).toMatchObject([{ generation: 1, state: 'live' }])
  // The number is not given out again.
  await service.start(['order_details'], operator)
  expect(await rebuilds.comes('order_details', 'done')).toMatchObject({ generation: 3 })
})

test('a generation is built by one version of the code: another one leaves it alone and says so', async () => {
  await append(rig.store, orderLife({}).placed)
  await rig.start(named('order_details')).caughtUp()
  const version2 = createPostgresProjection(rig.database, { ...orderDetails(createTestVault()), version: 2 })
  const next = openRebuildRig(rig, [version2])
  try {
    const old = rebuilds.startRebuilder()
    await next.service.start(['order_details'], operator)
    const left = await eventually(
      () => next.last('order_details'),
      ({ error }) => error !== null,
    )
    expect(left).toMatchObject({ state: 'running', phase: 'loading', position: 0n })
    expect(left.error).toContain('begun by version 2 of order_details, this code is 1')
    next.startRebuilder()
    expect(await next.comes('order_details', 'done')).toMatchObject({ version: 2, error: null })
    await old.stop()
  } finally {
    await next.close()
  }
})

test('an empty log is rebuilt to an empty read model, which goes on', async () => {
  const projector = rig.start(named('order_details'))
  await projector.caughtUp()
  rebuilds.startRebuilder()
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  await append(rig.store, orderLife({}).placed)
  await projector.caughtUp()
  expect(await rowsOf('order_details')).toHaveLength(1)
})

test('a statement that takes too long while the indexes are made fails it, and it is resumed', async () => {
  await append(rig.store, orderLife({}).placed)
  await rig.start(named('order_details')).caughtUp()
  const { generations, ...rest } = named('order_details')
  if (!generations) throw new Error('it has none')
  let slow = true
  const projection: Projection = {
    ...rest,
    generations: {
      ...generations,
      at: (generation) => {
        const sink = generations.at(generation)
        return {
          ...sink,
          complete: async () => {
            if (slow)
              await rig.database.transaction((transaction) => transaction.query('select pg_sleep(10)'), {
                statementTimeoutMs: 1,
              })
            await sink.complete()
          },
        }
      },
    },
  }
  const mine = openRebuildRig(rig, [projection])
  try {
    mine.startRebuilder()
    await mine.service.start(['order_details'], operator)
    const failed = await mine.comes('order_details', 'failed')
    expect(failed).toMatchObject({ phase: 'indexing', error: expect.stringContaining('statement timeout') })
    slow = false
    await mine.service.resume('order_details', operator)
    await mine.comes('order_details', 'done')
  } finally {
    await mine.close()
  }
})

test('what an older version has built is rebuilt without being asked for, when so configured', async () => {
  await append(rig.store, orderLife({}).placed)
  const old = rig.start(named('order_details'))
  await old.caughtUp()
  await old.stop()
  const version2 = createPostgresProjection(rig.database, { ...orderDetails(createTestVault()), version: 2 })
  const next = openRebuildRig(rig, [version2])
  try {
    next.startRebuilder()
    const { signal } = new AbortController()
    await rebuildStale(next.service, silentLogger, signal)
    expect(await next.comes('order_details', 'done')).toMatchObject({ version: 2, operator: 'orderlog' })
    // Old code that starts again does not turn it back.
    await rebuildStale(rebuilds.service, silentLogger, signal)
    expect(await rebuilds.last('order_details')).toMatchObject({ version: 2 })
  } finally {
    await next.close()
  }
})
