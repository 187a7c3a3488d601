import { afterAll, beforeAll, expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { validate } from '../schemas/validation.ts'
import { ProjectionSummary, ProjectionView } from '../schemas/views.ts'
import { ask } from '../test/support/ask.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'
import { givenRebuild, rebuildDouble } from '../test/support/rebuild-double.ts'

const live = { createdAt: '2026-03-01T09:00:00.000Z', replacedAt: null, state: 'live' } as const
const service = rebuildDouble({
  rebuilds: [givenRebuild({ projection: 'sales', state: 'done', phase: 'done' }), givenRebuild({ error: 'disk full' })],
  generations: [
    { ...live, projection: 'order_details', generation: 1, version: 3 },
    { ...live, projection: 'order_details', generation: 2, version: 4, state: 'building' },
    { ...live, projection: 'sales', generation: 2, version: 1 },
  ],
  stale: [{ projection: 'order_details', why: 'built by version 3, code is 4' }],
})
const knownProjections = [
  { name: 'order_details', version: 4, rebuildable: true },
  { name: 'never_built', version: 1, rebuildable: true },
]
let ailing = false
let side: ReadSide

beforeAll(async () => {
  const stale = async () => {
    if (ailing) throw new EngineUnavailable('redis', new Error('gone'))
    return service.stale()
  }
  side = await openReadSide({ deps: { rebuilds: { ...service, stale }, knownProjections } })
  const order = givenOrder(side)
  await side.record(order.stream, order.placed)
  await side.settled()
  // What a builder of a generation leaves beside the live ones.
  await side.database.query(
    `insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
     values ('order_details@2', 0, 1, $1, 2), ('order_details@2', 3, 1, $1, 2)`,
    [await side.store.identity()],
  )
  await side.database.query(
    `insert into platform.parked_events (projection, stream, revision, position, partition, event, status)
     values ('order_details@2', 'order-x', 0, 1, 0, '{}', 'failed'), ('order_details@2', 'order-x', 1, 2, 0, '{}', 'behind')`,
  )
})
afterAll(() => side.close())

test('the list tells of each what is rebuilt and what is stale, and of building generations nothing else', async () => {
  const { body } = await ask(side, '/v1/projections')
  for (const each of body.projections) expect(validate(ProjectionSummary, each)).toMatchObject({ valid: true })
  const names = body.projections.map(({ name }: { name: string }) => name)
  expect(names).toContain('order_details')
  expect(names.filter((name: string) => name.includes('@'))).toEqual([])
  const byName = (wanted: string) => body.projections.find(({ name }: { name: string }) => name === wanted)
  expect(byName('order_details')).toMatchObject({
    parkedEventCount: 0,
    rebuild: { generation: 2, phase: 'loading', state: 'running', percent: 50 },
    stale: 'built by version 3, code is 4',
  })
  expect(byName('order_details').partitions).toHaveLength(1)
  // One that has ended is news no longer.
  expect(byName('sales')).toMatchObject({ rebuild: null, stale: null })
})

test('one projection is told of with its generations, their parked events and its last rebuild', async () => {
  const { status, body } = await ask(side, '/v1/projections/order_details')
  expect(status).toBe(200)
  expect(validate(ProjectionView, body)).toMatchObject({ valid: true })
  expect(body).toMatchObject({
    ...{ name: 'order_details', codeVersion: 4, stale: 'built by version 3, code is 4', parkedEventCount: 0 },
    generations: [
      { generation: 1, state: 'live', parkedEventCount: 0 },
      { generation: 2, state: 'building', version: 4, parkedEventCount: 2 },
    ],
    rebuild: { generation: 2, eventsDone: '505', eventsTotal: '1000', error: 'disk full', operator: 'eve' },
  })
  expect(body.partitions).toMatchObject([{ partition: 0, lagEvents: '0' }])
  expect((await ask(side, '/v1/projections/sales')).body).toMatchObject({ rebuild: { state: 'done', percent: 100 } })
})

test('one that was never built is known by its code, any other is not found', async () => {
  expect((await ask(side, '/v1/projections/never_built')).body).toMatchObject({ version: null, codeVersion: 1 })
  expect((await ask(side, '/v1/projections/nonsense')).body).toMatchObject({
    status: 404,
    code: 'projection-not-found',
  })
  expect((await ask(side, '/v1/projections/order_details@2')).body).toMatchObject({ code: 'invalid-request' })
})

test('while an engine is away it is not known who is stale, and all else is', async () => {
  ailing = true
  const { status, body } = await ask(side, '/v1/projections/order_details')
  expect([status, body.stale, body.rebuild.state]).toEqual([200, null, 'running'])
  ailing = false
})
