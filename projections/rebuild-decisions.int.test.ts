import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { silentLogger } from '../platform/logging.ts'
import { createPostgresLeaderboardStore } from '../platform/postgres-leaderboard-store.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { interposed, openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { leaderboards } from './leaderboards.ts'
import { orderDetails } from './order-details.ts'
import { createParkedEvents } from './parked-events.ts'
import { parkFailed, readParkedStream } from './parking.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { BuildableSink, Projection, ProjectionSink, WindowedSink } from './projection.ts'

type Life = ReturnType<typeof orderLife>

let rig: ProjectionRig
let rebuilds: RebuildRig | undefined
/** Which events the handler refuses. */
let refuses: (orderId: string, type: string) => boolean
let projection: Projection
beforeEach(async () => {
  rig = await openProjectionRig()
  rebuilds = undefined
  refuses = (_orderId, type) => type === 'OrderConfirmed'
  projection = picky(createPostgresProjection(rig.database, orderDetails(createTestVault())))
})
afterEach(async () => {
  await rebuilds?.close()
  await rig.close()
})

/** A projection that refuses some events, in every generation. */
const picky = (sound: Projection): Projection => {
  const refuse = (events: readonly RecordedEvent[]): void => {
    for (const { type, data } of events)
      if ('orderId' in data && refuses(data.orderId, type)) throw new TypeError(`${type} is refused`)
  }
  const over = <Sink extends ProjectionSink>(sink: Sink): Sink => ({
    ...sink,
    apply: async (batch: Parameters<Sink['apply']>[0]) => {
      refuse(batch.events)
      return sink.apply(batch)
    },
    applyLate: async (batch: Parameters<Sink['applyLate']>[0]) => {
      refuse(batch.events)
      await sink.applyLate(batch)
    },
  })
  const built = (sink: BuildableSink): BuildableSink => {
    const { inWindows } = sink
    if (!inWindows) return over(sink)
    const windowed = (windowEvents: () => number): WindowedSink => {
      const { apply, flush } = inWindows(windowEvents)
      const refusing: WindowedSink['apply'] = async (batch) => {
        refuse(batch.events)
        return apply(batch)
      }
      return { flush, apply: refusing }
    }
    return { ...over(sink), inWindows: windowed }
  }
  const { generations } = sound
  if (!generations) throw new Error(`${sound.name} has no generations`)
  return {
    ...sound,
    sink: over(sound.sink),
    generations: { ...generations, at: (generation) => built(generations.at(generation)) },
  }
}
const policy = { maxAttempts: 1, lookAgainMs: 10 }
const parkedEvents = (of = projection) =>
  createParkedEvents({ database: rig.database, projections: [of], logger: silentLogger, log: rig.store })
const streamOf = ({ orderId }: Life) => orderStream(orderId)
const retry = (life: Life) => parkedEvents().retry('order_details', streamOf(life), operator)
const discard = (life: Life, revision: bigint) =>
  parkedEvents().discard('order_details', streamOf(life), revision, operator)
const noon = '2026-03-01T12:00:00.000Z'
const edit = (life: Life) =>
  parkedEvents().edit('order_details', streamOf(life), 1n, {
    ...operator,
    data: { ...life.confirmed.data, confirmedAt: noon },
  })

/** Orders that are placed, confirmed, which is refused, and shipped. */
const givenParked = async (count: number): Promise<Life[]> => {
  const lives = Array.from({ length: count }, () => orderLife({}))
  for (const life of lives) await append(rig.store, life.placed, life.confirmed, life.shipped)
  const projector = rig.start(projection, { policy })
  await projector.caughtUp()
  expect(await parked()).toHaveLength(2 * count)
  return lives
}
const parked = () =>
  rig.rows<{ stream: string; revision: bigint }>(
    "select stream, revision, status from platform.parked_events where projection = 'order_details' order by position",
  )
const shown = async () =>
  new Map(
    (
      await rig.rows<{ id: string; status: string; confirmed_at: string | null }>(
        'select order_id as id, status, confirmed_at from order_details.orders',
      )
    ).map(({ id, ...row }) => [id, row]),
  )
/** Until so many sessions wait for the swap. */
const waiting = (sessions: number) =>
  eventually(
    async () =>
      (
        await rig.rows<{ sessions: number }>(
          `select count(*)::integer as sessions from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock'`,
        )
      )[0]?.sessions,
    (found) => (found ?? 0) >= sessions,
    { what: `${sessions} sessions that wait for the swap` },
  )
const rebuildThrough = async (swapping: Parameters<typeof interposed>[1], of = projection): Promise<void> => {
  rebuilds = openRebuildRig(rig, [interposed(of, swapping)], 2)
  await rebuilds.service.start([of.name], operator)
  rebuilds.startRebuilder({ policy })
  await rebuilds.comes(of.name, 'done')
}

test('what is decided between the last look at it and the swap is not taken back by the swap', async () => {
  const [retried, partly, edited, discarded, behind, left] = await givenParked(6)
  if (!retried || !partly || !edited || !discarded || !behind || !left) throw new Error('there are six')
  let before: unknown
  await rebuildThrough(async (change) => {
    if (before) return change
    refuses = (orderId, type) =>
      orderId === partly.orderId ? type === 'OrderShipped' : [behind, left].some((life) => life.orderId === orderId)
    expect(await retry(retried)).toEqual({ applied: 2, parked: 0 })
    expect(await retry(partly)).toEqual({ applied: 1, parked: 1 })
    expect(await edit(edited)).toBe(1)
    expect(await retry(edited)).toEqual({ applied: 2, parked: 0 })
    expect(await discard(discarded, 1n)).toBe(1)
    expect(await retry(discarded)).toEqual({ applied: 1, parked: 0 })
    // The first of its stream goes on being refused.
    expect(await discard(behind, 2n)).toBe(1)
    before = [await shown(), await parked()]
    return change
  })
  expect((await rebuilds?.last('order_details'))?.generation).toBe(2)
  expect([await shown(), await parked()]).toEqual(before)
  expect((await shown()).get(edited.orderId)).toEqual({ status: 'shipped', confirmed_at: noon })
  expect((await parked()).map(({ stream, revision }) => `${stream} ${revision}`)).toEqual([
    `${streamOf(partly)} 2`,
    `${streamOf(behind)} 1`,
    `${streamOf(left)} 1`,
    `${streamOf(left)} 2`,
  ])
  refuses = () => false
  expect([await retry(partly), await retry(behind), await retry(left)]).toEqual([
    { applied: 1, parked: 0 },
    { applied: 1, parked: 0 },
    { applied: 2, parked: 0 },
  ])
})

test('what is decided while generations change places is done to the one that is live then', async () => {
  const [retried, edited, discarded] = await givenParked(3)
  if (!retried || !edited || !discarded) throw new Error('there are three')
  let decided: Promise<unknown> = Promise.resolve()
  await rebuildThrough(async (change) => ({
    ...change,
    // All has changed its name, and nobody sees it yet.
    record: async (transaction) => {
      refuses = () => false
      decided = Promise.all([retry(retried), edit(edited), discard(discarded, 1n)])
      decided.catch(() => undefined)
      await waiting(3)
      await change.record(transaction)
    },
  }))
  expect(await decided).toEqual([{ applied: 2, parked: 0 }, 1, 1])
  expect([await retry(edited), await retry(discarded)]).toEqual([
    { applied: 2, parked: 0 },
    { applied: 1, parked: 0 },
  ])
  expect(await parked()).toEqual([])
  const rows = await shown()
  expect([...rows.values()].map(({ status }) => status)).toEqual(['shipped', 'shipped', 'shipped'])
  expect([rows.get(edited.orderId)?.confirmed_at, rows.get(discarded.orderId)?.confirmed_at]).toEqual([noon, null])
})

test('a read model behind a store is decided upon in the generation that is live after the swap, too', async () => {
  const store = createPostgresLeaderboardStore({ database: rig.database, schema: 'leaderboards', clock: systemClock })
  const boards = picky(leaderboards({ store }))
  const [retried, discarded] = [orderLife({}), orderLife({})]
  await append(rig.store, retried.confirmed, discarded.confirmed)
  await rig.start(boards, { policy }).caughtUp()
  let decided: Promise<unknown> = Promise.resolve()
  await rebuildThrough(
    async (change) => ({
      ...change,
      record: async (transaction) => {
        refuses = () => false
        decided = Promise.all([
          parkedEvents(boards).retry('leaderboards', streamOf(retried), operator),
          parkedEvents(boards).discard('leaderboards', streamOf(discarded), 0n, operator),
        ])
        decided.catch(() => undefined)
        await waiting(2)
        await change.record(transaction)
      },
    }),
    boards,
  )
  expect(await decided).toEqual([{ applied: 1, parked: 0 }, 0])
  expect(await rig.rows("select 1 from platform.parked_events where projection = 'leaderboards'")).toEqual([])
  const query = { board: 'customers', by: 'units', window: 'all', at: noon, limit: 2 } as const
  expect(await store.top(query)).toMatchObject([{ key: 'customer-1', units: 2n }])
})

test('what is live is decided upon by servers of its version only, though they have waited for the swap', async () => {
  const [life] = await givenParked(1)
  if (!life) throw new Error('there is one')
  let decided: Promise<unknown>[] = []
  await rebuildThrough(
    async (change) => ({
      ...change,
      record: async (transaction) => {
        refuses = () => false
        decided = [retry(life), discard(life, 1n)]
        for (const each of decided) each.catch(() => undefined)
        await waiting(2)
        await change.record(transaction)
        refuses = (_orderId, type) => type === 'OrderConfirmed'
      },
    }),
    { ...projection, version: projection.version + 1 },
  )
  const refused = { code: 'other-version', details: { projection: 'order_details' } }
  for (const each of decided) await expect(each).rejects.toMatchObject(refused)
  await expect(retry(life)).rejects.toMatchObject(refused)
  await expect(discard(life, 1n)).rejects.toMatchObject(refused)
  expect(await parked()).toMatchObject([{ revision: 1n }, { revision: 2n }])
  expect((await shown()).get(life.orderId)?.status).toBe('placed')
})

test('an edit that is made at the moment at which another generation parks the event counts there, too', async () => {
  const [life] = await givenParked(1)
  if (!life) throw new Error('there is one')
  const [, confirmed] = (await rig.store.readStream(streamOf(life))).events
  if (!confirmed) throw new Error('it was confirmed')
  await rig.database.transaction(async (transaction) => {
    await parkFailed(transaction, 'order_details@2', 0, confirmed, { error: new Error('refused'), attempts: 1 })
    expect(await edit(life)).toBe(1)
  })
  const [row] = await readParkedStream(rig.database, 'order_details@2', streamOf(life), 1)
  expect(row?.data).toMatchObject({ confirmedAt: noon })
})
