import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { feedEvents } from '../platform/feed-event.ts'
import { silentLogger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { orderStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { openRebuildRig, operator, type RebuildRig } from '../test/support/rebuild-rig.ts'
import { orderDetails } from './order-details.ts'
import { createParkedEvents } from './parked-events.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'
import { openBuilder } from './rebuild-builder.ts'
import { defaultErrorPolicy } from './verdict.ts'
import { BuildFenced } from './window-sink.ts'

let rig: ProjectionRig
let rebuilds: RebuildRig | undefined
/** Orders that cannot be confirmed, in which schemas. */
let refuses: (schema: string, orderId: string) => boolean
/** Told every schema that something is applied to. */
let applying: (schema: string) => Promise<void>
beforeEach(async () => {
  rig = await openProjectionRig()
  rebuilds = undefined
  refuses = () => false
  applying = async () => undefined
})
afterEach(async () => {
  await rebuilds?.close()
  await rig.close()
})

/** Order details that refuse to confirm some orders. */
const picky = (version = 1): Projection => {
  const definition = { ...orderDetails(createTestVault()), version }
  return createPostgresProjection(rig.database, {
    ...definition,
    apply: async (transaction, schema, events, how) => {
      await applying(schema)
      if (events.some((event) => event.type === 'OrderConfirmed' && refuses(schema, event.data.orderId)))
        throw new TypeError('cannot be confirmed')
      await definition.apply(transaction, schema, events, how)
    },
  })
}
const policy = { maxAttempts: 1, lookAgainMs: 10 }
const service = (projection: Projection) =>
  createParkedEvents({ database: rig.database, projections: [projection], logger: silentLogger, log: rig.store })
const parked = () =>
  rig.rows<{ projection: string; partition: number; revision: bigint }>(
    'select projection, partition, revision from platform.parked_events order by projection, position',
  )

test.each([1, 4])('a rebuild by %i lanes with too much parked fails, and says what to do', async (lanes) => {
  const lives = Array.from({ length: 12 }, () => orderLife({}))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
  const projection = picky()
  await rig.start(projection).caughtUp()
  refuses = (schema) => schema !== 'order_details'
  rebuilds = openRebuildRig(rig, [projection], lanes)
  rebuilds.startRebuilder({ policy: { ...policy, maxParkedStreams: 2 } })
  await rebuilds.service.start(['order_details'], operator)
  const { error } = await rebuilds.comes('order_details', 'failed')
  expect(error).toMatch(/has parked events of 2 streams.*cannot be confirmed; mend.*resume the rebuild; or drop/)
  expect(error).not.toContain('goes on')
  expect(await parked()).toHaveLength(2)
  refuses = () => false
  await rebuilds.service.resume('order_details', operator)
  await rebuilds.comes('order_details', 'done')
})

test('an event that its schema would have refused is parked in the rebuild, too', async () => {
  const life = orderLife({})
  const misshapen = orderStream(randomUUID())
  await append(rig.store, life.placed)
  await rig.store.append(misshapen, [newEvent(null, 'order.placed.v2')], 'none')
  const projection = picky()
  await rig.start(projection, { policy }).caughtUp()
  rebuilds = openRebuildRig(rig, [projection])
  rebuilds.startRebuilder({ policy })
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  expect(await parked()).toMatchObject([{ projection: 'order_details' }, { projection: 'order_details@1' }])
})

test('a generation that is dropped while its first events are written has parked none of them', async () => {
  const lives = Array.from({ length: 3 }, () => orderLife({}))
  await append(rig.store, ...lives.map((life) => life.placed))
  const projection = picky()
  const builder = await openBuilder({
    ...{
      projection,
      generation: 2,
      lanes: 1,
      windowEvents: () => 0,
      store: rig.store,
      database: rig.database,
      logger: silentLogger,
    },
    logIdentity: await rig.store.identity(),
    policy: { ...defaultErrorPolicy, ...policy },
    onWait: () => undefined,
  })
  await projection.generations?.drop(2)
  const { events, position } = await rig.store.readAll({ after: 0n, limit: 10 })
  const applying = builder.apply(events.map(feedEvents(decodeEvent)), position, new AbortController().signal)
  await expect(applying).rejects.toThrow(BuildFenced)
  expect(await parked()).toEqual([])
})

test('what was parked in a lane of the load is retried under the checkpoint of the live projection', async () => {
  const lives = Array.from({ length: 4 }, () => orderLife({}))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
  const projection = picky()
  refuses = () => true
  await rig.start(projection, { policy }).caughtUp()
  rebuilds = openRebuildRig(rig, [projection], 2)
  rebuilds.startRebuilder({ policy })
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  const live = (await parked()).filter(({ projection: name }) => name === 'order_details')
  expect(live.map(({ partition }) => partition)).not.toContain(0)
  expect(live).toHaveLength(4)
  refuses = () => false
  const free: unknown[] = []
  applying = async () => {
    free.push(
      ...(await rig.rows(
        "select 1 from platform.checkpoints where consumer = 'order_details' and partition = 0 for update skip locked",
      )),
    )
  }
  for (const { orderId } of lives)
    expect(await service(projection).retry('order_details', orderStream(orderId), operator)).toEqual({
      applied: 1,
      parked: 0,
    })
  expect(free).toEqual([])
})

const statuses = () => rig.rows('select order_id, status from order_details.orders order by position, order_id')
const stateOf = ({ orderId }: { readonly orderId: string }, status: string) => ({ order_id: orderId, status })

test('what operators decide while a generation is built is done to it, too', async () => {
  const [retried, discarded, left] = [orderLife({}), orderLife({}), orderLife({})]
  for (const life of [retried, discarded, left]) await append(rig.store, life.placed, life.confirmed)
  await append(rig.store, retried.shipped, discarded.shipped)
  const projection = picky()
  refuses = () => true
  const projector = rig.start(projection, { policy })
  await projector.caughtUp()
  rebuilds = openRebuildRig(rig, [projection], 2)
  const { last } = rebuilds
  let goOn = (): void => undefined
  const decided = new Promise<void>((resolve) => {
    goOn = resolve
  })
  rebuilds.startRebuilder({
    policy,
    verify: async () => {
      await decided
      return undefined
    },
  })
  await rebuilds.service.start(['order_details'], operator)
  await eventually(
    () => last('order_details'),
    (rebuild) => rebuild.phase === 'verifying',
  )
  expect((await parked()).map(({ projection: name }) => name)).toEqual([
    ...Array(5).fill('order_details'),
    ...Array(5).fill('order_details@2'),
  ])
  refuses = (_schema, orderId) => orderId !== retried.orderId
  const parkedEvents = service(projection)
  const streamOf = ({ orderId }: typeof retried) => orderStream(orderId)
  expect(await parkedEvents.retry('order_details', streamOf(retried), operator)).toEqual({ applied: 2, parked: 0 })
  expect(await parkedEvents.discard('order_details', streamOf(discarded), 1n, operator)).toBe(1)
  goOn()
  await rebuilds.comes('order_details', 'done')
  // Of the discarded one the later event is still parked in the live generation, and applied in the new one.
  const live = (await parked()).filter(({ projection: name }) => name === 'order_details')
  expect(live).toMatchObject([{ revision: 1n }])
  expect(await rig.rows("select stream from platform.parked_events where projection = 'order_details'")).toEqual([
    { stream: streamOf(left) },
  ])
  const shown = await statuses()
  expect(shown).toHaveLength(3)
  for (const row of [stateOf(retried, 'shipped'), stateOf(discarded, 'shipped'), stateOf(left, 'placed')])
    expect(shown).toContainEqual(row)
})

test('a generation that has parked what the live one has applied is not swapped in, unless another version built that', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed, life.confirmed)
  const projection = picky()
  await rig.start(projection, { policy }).caughtUp()
  refuses = (schema) => schema !== 'order_details'
  rebuilds = openRebuildRig(rig, [projection], 2)
  const rebuilder = rebuilds.startRebuilder({ policy })
  await rebuilds.service.start(['order_details'], operator)
  const { error, phase } = await rebuilds.comes('order_details', 'failed')
  expect(phase).toBe('swapping')
  expect(error).toContain('has parked events of 1 streams that the live one has applied')
  expect(error).toContain('cannot be confirmed; mend the handler and resume the rebuild, or drop the generation')
  expect(await statuses()).toEqual([stateOf(life, 'confirmed')])
  refuses = () => false
  await rebuilds.service.resume('order_details', operator)
  await rebuilds.comes('order_details', 'done')
  expect(await statuses()).toEqual([stateOf(life, 'confirmed')])
  await rebuilder.stop()

  refuses = (schema) => schema !== 'order_details'
  const next = openRebuildRig(rig, [picky(2)], 2)
  next.startRebuilder({ policy })
  await next.service.start(['order_details'], operator)
  expect((await next.comes('order_details', 'done')).generation).toBe(3)
  expect((await parked()).map(({ projection: name }) => name)).toEqual(['order_details'])
  await next.close()
})

test('a generation that was kept is swapped back with what it had parked', async () => {
  const life = orderLife({})
  await append(rig.store, life.placed, life.confirmed)
  const projection = picky()
  refuses = () => true
  await rig.start(projection, { policy }).caughtUp()
  refuses = () => false
  rebuilds = openRebuildRig(rig, [projection], 2)
  const { last } = rebuilds
  rebuilds.startRebuilder({ policy })
  await rebuilds.service.start(['order_details'], operator)
  await rebuilds.comes('order_details', 'done')
  expect(await statuses()).toEqual([stateOf(life, 'confirmed')])
  refuses = () => true
  await rebuilds.service.swapBack('order_details', operator)
  await eventually(
    () => last('order_details'),
    (rebuild) => rebuild.generation === 1 && rebuild.state === 'done',
  )
  expect(await statuses()).toEqual([stateOf(life, 'placed')])
  expect((await parked()).map(({ projection: name }) => name)).toEqual(['order_details'])
  refuses = () => false
  await service(projection).retry('order_details', orderStream(life.orderId), operator)
  expect(await statuses()).toEqual([stateOf(life, 'confirmed')])
})
