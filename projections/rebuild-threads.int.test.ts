import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism, getPriority } from 'node:os'
import type { Worker as Thread } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { rebuildThreads } from '../platform/compose-rebuild-threads.ts'
import { readConfig } from '../platform/config.ts'
import { createPersonalDataVault, type PersonalDataVault } from '../platform/personal-data.ts'
import { createPostgresImport } from '../platform/postgres-event-store-import.ts'
import { encodeEvent } from '../schemas/codec.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { append, openProjectionRig, type ProjectionRig, streamOf } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { type RefusedRows, refuseNoMore, refuseRows } from '../test/support/refused-rows.ts'
import type { Projection } from './projection.ts'
import type { LoadOrder } from './rebuild-thread.ts'
import type { StartThread } from './rebuild-threads.ts'
import { postgresProjections } from './registry.ts'

/** Threads run what is compiled. */
const program = new URL('../dist/platform/compose-rebuild-thread.js', import.meta.url)
const policy = { maxAttempts: 1, waitMs: () => 10, lookAgainMs: 10 }

let rig: ProjectionRig
let vault: PersonalDataVault
let rebuilds: RebuildRig
/** Told of every thread that is started. */
let started: { readonly order: LoadOrder; readonly thread: Thread }[]
let startThread: StartThread
/** What threads are told of the log. */
let pace: LoadOrder['pace']
/** For as long as a test may take: what is loaded is written in windows. */
const quiet = { end: 0n, lookedAt: Date.now() + 3_600_000, movedAt: 0, wasQuiet: true }
/** It has not been looked at yet, and all of a test is over before it is known: small pieces, each written by itself. */
const unknown = undefined
/** As many as there are processors. */
const most = Math.min(2, availableParallelism())
beforeEach(async () => {
  rig = await openProjectionRig()
  vault = createPersonalDataVault(rig.database)
  started = []
  const config = readConfig({ ORDERLOG_LOG_LEVEL: 'silent' })
  const start = rebuildThreads({ config, url: rig.url, partitions: [0] }, program)
  if (!start) throw new Error('`npm run build` comes first')
  pace = quiet
  startThread = (ordered) => {
    const order = { ...ordered, pace }
    const thread = start(order)
    started.push({ order, thread })
    return thread
  }
})
afterEach(async () => {
  await rebuilds.close()
  await rig.close()
})

const open = (change: (projection: Projection) => Projection = (each) => each, lanes = 2): void => {
  const projections = postgresProjections({ database: rig.database, vault })
  rebuilds = openRebuildRig(rig, projections.map(change), lanes)
}
const named = (name: string): Projection => {
  const projection = postgresProjections({ database: rig.database, vault }).find((each) => each.name === name)
  if (!projection) throw new Error(name)
  return projection
}

const lives = async (count: number) =>
  Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const customerId = `customer-${index % 5}`
      return orderLife({ customerId, personal: await vault.seal(customerId, { ...ada, name: `Ada ${index}` }) })
    }),
  )
const tables: Readonly<Record<string, string>> = {
  order_details: 'order_details.orders order by order_id',
  order_timeline: 'order_timeline.entries order by order_id, position',
  sales: 'sales.days order by day, currency',
}
const rowsOf = (name: string) => rig.rows<Record<string, unknown>>(`select * from ${tables[name]}`)
const parked = () =>
  rig.rows<{ stream: string; revision: bigint; status: string }>(
    'select stream, revision, status from platform.parked_events order by position',
  )

/** Rows of the generation that is built that PostgreSQL refuses to write, as soon as its tables are there. */
const refusing =
  (rows: RefusedRows) =>
  (projection: Projection): Projection => {
    const { generations } = projection
    if (projection.name !== 'order_details' || !generations) return projection
    let made = false
    const at: typeof generations.at = (generation) => {
      const sink = generations.at(generation)
      const prepare: typeof sink.prepare = async (...how) => {
        await sink.prepare(...how)
        if (generation !== 2 || made) return
        made = true
        await refuseRows(rig.database, 'order_details_g2', rows)
      }
      return { ...sink, prepare }
    }
    return { ...projection, generations: { ...generations, at } }
  }
const mend = () => refuseNoMore(rig.database, 'order_details_g2')

const begin = async (
  names: readonly string[],
  policed: Partial<typeof policy> & { maxParkedStreams?: number } = {},
) => {
  const running = rebuilds.startRebuilder({ startThread, policy: { ...policy, ...policed } })
  await rebuilds.service.start(names, operator)
  return running
}
/** Built equal to what the live projections have made of the same log. */
const expectEqual = async (name: string, before: readonly unknown[]) => {
  const done = await rebuilds.comes(name, 'done')
  expect(done).toMatchObject({ eventsDone: done.eventsTotal, error: null })
  expect(await rowsOf(name)).toEqual(before)
}

test.each([
  { lanes: 2, names: ['order_details', 'order_timeline'], threads: most },
  { lanes: 6, names: ['order_details'], threads: most },
  { lanes: 1, names: ['order_details'], threads: 1 },
  { lanes: 2, names: ['order_details', 'order_timeline', 'sales'], threads: 1 },
])('$lanes lanes of $names: built in threads it equals what was applied live', async ({ lanes, names, threads }) => {
  const all = await lives(40)
  const [first] = all
  await append(rig.store, ...all.flatMap((life) => [life.placed, life.confirmed]))
  const keyIds = await vault.keysOf('customer-1')
  const forgottenAt = '2026-03-02T00:00:00.000Z'
  await append(rig.store, { type: 'PersonalDataForgotten', data: { customerId: 'customer-1', keyIds, forgottenAt } })
  await append(rig.store, ...all.map((life) => life.shipped), ...(first ? [first.delivered] : []))
  for (const name of names) await rig.start(named(name)).caughtUp()
  const before = await Promise.all(names.map(rowsOf))
  open(undefined, lanes)
  await begin(names)
  for (const [index, name] of names.entries()) await expectEqual(name, before[index] ?? [])
  expect(before[0]?.filter(({ name }) => name === null)).toHaveLength(8)
  expect(started.map(({ order }) => order.share)).toEqual(
    Array.from({ length: threads }, (_, index) => ({ index, of: threads })),
  )
})

test('a row that cannot be written parks its event and what comes behind it, in whichever thread', async () => {
  pace = unknown
  const all = await lives(30)
  const bad = all.slice(10, 14)
  await append(rig.store, ...all.flatMap((life) => [life.placed, life.confirmed, life.shipped]))
  const ids = bad.map(({ orderId }) => `'${orderId}'`).join(', ')
  open(refusing({ when: `new.order_id in (${ids}) and new.status <> 'placed'`, errcode: '22003' }))
  await begin(['order_details'])
  await rebuilds.comes('order_details', 'done')
  const rows = await rowsOf('order_details')
  expect(rows).toHaveLength(30)
  expect(rows.filter(({ status }) => status === 'placed').map((row) => row.order_id)).toEqual(
    bad.map(({ orderId }) => orderId).sort(),
  )
  const streams = bad.flatMap(({ orderId }) => [
    { stream: orderStream(orderId), revision: 1n, status: 'failed' },
    { stream: orderStream(orderId), revision: 2n, status: 'behind' },
  ])
  expect(await parked()).toEqual(streams)
})

test('the streams that may be parked are counted over all threads', async () => {
  pace = unknown
  const all = await lives(40)
  await append(rig.store, ...all.map((life) => life.placed))
  open(refusing({ when: 'true', errcode: '22003' }))
  await begin(['order_details'], { maxParkedStreams: 6 })
  const failed = await rebuilds.comes('order_details', 'failed')
  expect(failed.error).toMatch(/^order_details@2 has parked events of \d streams/)
  expect(started).toHaveLength(most)
  const streams = await parked()
  expect(streams.length).toBeGreaterThan(3)
  expect(streams.length).toBeLessThanOrEqual(6)
  await mend()
  await rebuilds.service.drop('order_details', 2, operator)
})

/** Two events each. */
const long = async (orders: number) => {
  const all = await lives(orders)
  const write = createPostgresImport(rig.database.execute)
  const stored = (event: DomainEvent, revision: bigint): StoredEvent => {
    const { type, data } = encodeEvent(event)
    const recordedAt = '2026-03-01T00:00:00.000Z'
    return { ...newEvent(data, type), stream: streamOf(event), revision, position: 0n, recordedAt }
  }
  for (let index = 0; index < all.length; index += 500) {
    const some = all.slice(index, index + 500)
    expect(await write(some.map((life) => stored(life.placed, 0n)))).toBeUndefined()
    expect(await write(some.map((life) => stored(life.confirmed, 1n)))).toBeUndefined()
  }
  return all
}
const confirmedRows = async () => {
  const [row] = await rig.rows<{ count: bigint }>(
    "select count(*) from order_details.orders where status = 'confirmed'",
  )
  return row?.count
}

/** Each order once, with both of its events, and all of them counted. */
const expectLoaded = async (orders: number) => {
  const done = await rebuilds.comes('order_details', 'done')
  expect(done.eventsDone).toBe(done.eventsTotal)
  expect(await confirmedRows()).toBe(BigInt(orders))
}

test('a window that a thread cannot write is written event by event, and only what is to blame is parked', async () => {
  const all = await long(20_000)
  const bad = all.at(-10)
  open(refusing({ when: `new.order_id = '${bad?.orderId}'`, errcode: '22003' }))
  await begin(['order_details'])
  const done = await rebuilds.comes('order_details', 'done')
  expect(done.eventsDone).toBe(done.eventsTotal)
  expect((await parked()).map(({ stream, status }) => [stream, status])).toEqual([
    [orderStream(bad?.orderId ?? ''), 'failed'],
    [orderStream(bad?.orderId ?? ''), 'behind'],
  ])
  expect(await confirmedRows()).toBe(19_999n)
  // They were opened again, from where the windows before stood, and once.
  const careful = started.map(({ order }) => order.builds[0]?.carefulUpTo !== 0n)
  expect(careful).toEqual([...Array(most).fill(false), ...Array(most).fill(true)])
})

test('a server that goes away under a thread is waited for, a full disk is not', async () => {
  const all = await long(2_000)
  open(refusing({ when: `new.order_id = '${all.at(-10)?.orderId}'`, errcode: '57P01' }))
  await begin(['order_details'])
  await eventually(
    () => rebuilds.last('order_details'),
    ({ state, error }) => state === 'running' && error !== null && /PostgreSQL is unavailable/.test(error),
  )
  await rig.rows(`create or replace function order_details_g2.refuse() returns trigger language plpgsql as $$
    begin raise exception 'No space left on device' using errcode = '53100'; end $$`)
  expect((await rebuilds.comes('order_details', 'failed')).error).toContain('No space left on device')
  await mend()
  await rebuilds.service.resume('order_details', operator)
  await expectLoaded(2_000)
  expect(await parked()).toEqual([])
})

/** As if it took long: a row waits until it is let go. */
const held = async () => {
  const client = await rig.database.connect()
  await client.query('select pg_advisory_lock(4711)')
  return { when: 'pg_advisory_xact_lock_shared(4711) is null', letGo: () => client.end() }
}
const beingWritten = () =>
  eventually(
    () => rig.rows("select 1 from pg_locks where locktype = 'advisory' and objid = 4711 and not granted"),
    (rows) => rows.length > 0,
    { what: 'a thread that writes' },
  )

test('a thread that dies is replaced, and nothing is lost or twice', async () => {
  await long(2_000)
  const { when, letGo } = await held()
  open(refusing({ when, errcode: '22003' }))
  await begin(['order_details'])
  await beingWritten()
  await started.at(-1)?.thread.terminate()
  await letGo()
  await expectLoaded(2_000)
  expect(started.length).toBeGreaterThan(most)
})

/** How many rows a generation has when its indexes are built: what is loaded, and not caught up with. */
const countingLoaded =
  (loaded: (rows: number) => void) =>
  (projection: Projection): Projection => {
    const { generations } = projection
    if (projection.name !== 'order_details' || !generations) return projection
    const at: typeof generations.at = (generation) => {
      const sink = generations.at(generation)
      const complete: typeof sink.complete = async () => {
        const [row] = await rig.rows<{ count: bigint }>(`select count(*) from order_details_g${generation}.orders`)
        loaded(Number(row?.count))
        await sink.complete()
      }
      return { ...sink, complete }
    }
    return { ...projection, generations: { ...generations, at } }
  }

test.each([
  { what: 'loaded, too', first: 5_000, meanwhile: 1_500, loads: 6_500 },
  { what: 'caught up with, when it is little', first: 5_000, meanwhile: 500, loads: 5_000 },
  { what: 'caught up with, when it comes as fast as it is loaded', first: 1_200, meanwhile: 1_500, loads: 1_200 },
])('what is appended during a load is $what', async ({ first, meanwhile, loads }) => {
  await long(first)
  const { when, letGo } = await held()
  const loaded: number[] = []
  open((projection) => countingLoaded((rows) => loaded.push(rows))(refusing({ when, errcode: '22003' })(projection)))
  await begin(['order_details'])
  await beingWritten()
  await long(meanwhile)
  await letGo()
  await expectLoaded(first + meanwhile)
  expect(loaded).toEqual([loads])
  const [{ target } = {}] = await rig.rows<{ target: bigint }>('select target from platform.rebuilds')
  expect(target).toBe(BigInt(2 * loads))
})

/** How much each thread of this process gives way, as Linux says. */
const nicenesses = async () => {
  const tasks = await readdir('/proc/self/task')
  const stats = await Promise.all(tasks.map((task) => readFile(`/proc/self/task/${task}/stat`, 'utf8').catch(() => '')))
  // The name, in brackets, may have blanks in it; the third field comes after it, and this is the 19th.
  return stats.filter((stat) => stat !== '').map((stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]))
}

/** Whoever runs this may give way already. */
const ours = getPriority()
test.runIf(process.platform === 'linux' && ours < 10)('threads that load give way to all others', async () => {
  await long(500)
  expect(new Set(await nicenesses())).toEqual(new Set([ours]))
  const { when, letGo } = await held()
  open(refusing({ when, errcode: '22003' }))
  await begin(['order_details'])
  await beingWritten()
  const giving = async () => (await nicenesses()).filter((nice) => nice !== ours)
  await eventually(giving, (found) => found.length >= most, { what: 'threads that give way' })
  expect(await giving()).toEqual(Array(most).fill(10))
  await letGo()
  await expectLoaded(500)
})

test('who is told to stop ends its threads, and another process goes on', async () => {
  await long(2_000)
  const { when, letGo } = await held()
  open(refusing({ when, errcode: '22003' }))
  const first = await begin(['order_details'])
  await beingWritten()
  const ended = Promise.all(started.map(({ thread }) => once(thread, 'exit')))
  const stopped = first.stop()
  await letGo()
  await Promise.all([stopped, ended])
  expect((await rebuilds.last('order_details')).phase).toBe('loading')
  rebuilds.startRebuilder({ startThread, policy })
  await expectLoaded(2_000)
})

test('a thread that does not stop is ended, and what it was at is done again', async () => {
  await long(500)
  const { when, letGo } = await held()
  open(refusing({ when, errcode: '22003' }))
  const first = await begin(['order_details'])
  await beingWritten()
  const ended = Promise.all(started.map(({ thread }) => once(thread, 'exit')))
  await Promise.all([first.stop(), ended])
  await letGo()
  rebuilds.startRebuilder({ startThread, policy })
  await expectLoaded(500)
})

test('a build that a thread cannot open fails, and only that one', async () => {
  await long(10)
  // Threads are of the program that is installed, and it has no such read model.
  const strange = { ...named('order_details'), name: 'strange' }
  const known = named('order_timeline')
  rebuilds = openRebuildRig(rig, [strange, known], 2)
  await begin(['strange', 'order_timeline'])
  expect((await rebuilds.comes('strange', 'failed')).error).toBe('this version has no projection strange')
  expect((await rebuilds.comes('order_timeline', 'done')).eventsDone).toBe(20n)
})

test('a second thread that cannot be started ends the first, and both are started again', async () => {
  await long(10)
  open()
  const start = startThread
  let refusals = 0
  startThread = (order) => {
    if (order.share.index === most - 1 && refusals++ === 0) throw new Error('no more threads')
    return start(order)
  }
  await begin(['order_details'])
  await rebuilds.comes('order_details', 'done')
  expect(started).toHaveLength(2 * most - 1)
  expect(await confirmedRows()).toBe(10n)
})

test('one of two is cancelled while both are loaded: its share is left in every thread, the other goes on', async () => {
  pace = unknown
  const all = await long(2_000)
  const { when, letGo } = await held()
  open(refusing({ when, errcode: '22003' }))
  await begin(['order_details', 'order_timeline'])
  await beingWritten()
  await rebuilds.service.cancel('order_details', operator)
  await letGo()
  expect((await rebuilds.comes('order_timeline', 'done')).eventsDone).toBe(BigInt(2 * all.length))
  expect(await rebuilds.last('order_details')).toMatchObject({ state: 'cancelled', phase: 'loading' })
  const [written] = await rig.rows<{ count: bigint }>('select count(*) from order_details_g2.orders')
  expect(written?.count).toBeLessThan(1_000n)
  await rebuilds.service.resume('order_details', operator)
  await expectLoaded(2_000)
})
