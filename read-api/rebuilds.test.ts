import { expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { createHttpServer } from '../platform/http-server.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { CommandRejected, type ErrorCode } from '../schemas/errors.ts'
import { validate } from '../schemas/validation.ts'
import { RebuildPlanView, RebuildView } from '../schemas/views.ts'
import { rebuildDouble } from '../test/support/rebuild-double.ts'
import { registerRebuilds } from './rebuilds.ts'

const knownProjections = [
  { name: 'order_details', version: 4, rebuildable: true },
  { name: 'sales', version: 1, rebuildable: true },
  { name: 'eraser', version: 1, rebuildable: false },
]

const given = (answers: Parameters<typeof rebuildDouble>[0] = {}, head: () => Promise<bigint> = async () => 800n) => {
  const service = rebuildDouble(answers)
  const server = createHttpServer({ logger: silentLogger, metrics: createMetrics() })
  const store = {
    head,
    identity: async () => 'log',
    readStream: async () => ({ events: [], end: true, revision: 'none' }),
  }
  registerRebuilds(server, { store: store as never, knownProjections, rebuilds: service })
  const post = async (path: string, body: unknown) => {
    const reply = await server.inject({ method: 'POST', url: `/v1/projections${path}`, payload: body as object })
    return { status: reply.statusCode, location: reply.headers.location, body: reply.json() }
  }
  return { service, post }
}

const eve = { operator: 'eve' }

test('a rebuild is accepted and told of, with where to look for it', async () => {
  const { service, post } = given()
  const { status, location, body } = await post('/order_details/rebuild', {
    ...eve,
    reason: 'new column',
    sample: 'all',
  })
  expect([status, location]).toEqual([202, '/v1/projections/order_details'])
  expect(validate(RebuildView, body)).toMatchObject({ valid: true })
  expect(body).toMatchObject({
    ...{ projection: 'order_details', generation: 2, phase: 'loading', state: 'running', percent: 50 },
    ...{ eventsDone: '505', eventsTotal: '1000', position: '700', lagEvents: '100', eventsPerSecond: 250.5 },
    rowsVerified: null,
  })
  expect(service.asked).toEqual([
    ['start', ['order_details'], expect.objectContaining({ ...eve, reason: 'new column' }), { sample: 'all' }],
  ])
})

test('a dry run changes nothing and tells what would be done', async () => {
  const { service, post } = given()
  const { status, body } = await post('/order_details/rebuild', { ...eve, dryRun: true })
  expect(status).toBe(200)
  expect(validate(RebuildPlanView, body)).toMatchObject({ valid: true })
  expect(body).toMatchObject({ eventsByType: { 'order.placed.v2': '900' }, eventsTotal: '1000', rowsExpected: '900' })
  expect(service.asked).toEqual([['plan', ['order_details']]])
})

test('several are rebuilt together: those named, all that can be, or the stale ones', async () => {
  const { service, post } = given({ stale: [{ projection: 'sales', why: 'built by version 1, code is 2' }] })
  const names = async (projections: unknown) => {
    const { status, body } = await post('/rebuild', { ...eve, projections })
    return [status, body.rebuilds.map(({ projection }: { projection: string }) => projection)]
  }
  expect(await names(['sales', 'order_details'])).toEqual([202, ['sales', 'order_details']])
  expect(await names('all')).toEqual([202, ['order_details', 'sales']])
  expect(await names('stale')).toEqual([202, ['sales']])
  expect(service.asked.map(([verb]) => verb)).toEqual(['start', 'start', 'reset', 'start'])
  const plans = await post('/rebuild', { ...eve, projections: 'all', dryRun: true })
  expect([plans.status, plans.body.plans.length]).toEqual([200, 2])
})

test('when nothing is stale, nothing is started', async () => {
  const { service, post } = given()
  expect(await post('/rebuild', { ...eve, projections: 'stale' })).toMatchObject({
    status: 200,
    body: { rebuilds: [] },
  })
  expect(await post('/rebuild', { ...eve, projections: 'stale', dryRun: true })).toMatchObject({ body: { plans: [] } })
  expect(service.asked.map(([verb]) => verb)).toEqual(['reset'])
})

test('what is ahead of a log that was put back and has no read model is reset, and is named', async () => {
  const why = 'its checkpoint is 9, the log ends at 4: an older log was put back'
  const { service, post } = given({
    stale: [
      { projection: 'sales', why },
      { projection: 'order-fulfilment', why, mend: 'reset' },
    ],
  })
  const stale = { ...eve, projections: 'stale' }
  const dryRun = await post('/rebuild', { ...stale, dryRun: true })
  expect(dryRun.body.plans.map(({ projection }: { projection: string }) => projection)).toEqual(['sales'])
  expect(service.asked.map(([verb]) => verb)).toEqual(['plan'])
  expect(await post('/rebuild', stale)).toMatchObject({
    status: 202,
    body: { rebuilds: [{ projection: 'sales' }], reset: ['order-fulfilment'] },
  })
})

test('cancel, resume, swap back and drop hand on who asks and why', async () => {
  const { service, post } = given()
  const asked = { ...eve, reason: 'it is noon' }
  for (const [path, state] of [
    ['rebuild/cancel', 'cancelled'],
    ['rebuild/resume', 'running'],
    ['swap-back', 'running'],
  ])
    expect(await post(`/sales/${path}`, asked)).toMatchObject({
      status: 202,
      location: '/v1/projections/sales',
      body: { state },
    })
  expect(await post('/sales/generations/3/drop', asked)).toMatchObject({
    status: 200,
    body: { projection: 'sales', generation: 3, dropped: true },
  })
  expect(service.asked).toEqual([
    ['cancel', 'sales', asked],
    ['resume', 'sales', asked],
    ['swapBack', 'sales', asked],
    ['drop', 'sales', 3, asked],
  ])
})

const paths = [
  '/sales/rebuild',
  '/sales/rebuild/cancel',
  '/sales/rebuild/resume',
  '/sales/swap-back',
  '/sales/generations/3/drop',
]

test.each<[ErrorCode, number]>([
  ['projection-not-found', 404],
  ['nothing-to-rebuild', 422],
  ['rebuild-running', 409],
  ['rebuild-not-found', 404],
  ['generation-not-found', 404],
  ['generation-live', 409],
])('a refusal keeps its code: %s', async (code, status) => {
  const { post } = given({ refusal: new CommandRejected(code, { projection: 'sales' }) })
  for (const path of paths) expect(await post(path, eve)).toMatchObject({ status, body: { code, projection: 'sales' } })
})

test('an engine that is away is said to be', async () => {
  const { post } = given({ refusal: new EngineUnavailable('postgresql', new Error('gone')) })
  for (const path of paths)
    expect(await post(path, eve)).toMatchObject({ status: 503, body: { code: 'engine-unavailable' } })
})

test('while the event store is away, how far behind a rebuild is, is not known', async () => {
  const { post } = given({}, async () => {
    throw new EngineUnavailable('event-store', new Error('gone'))
  })
  expect(await post('/sales/rebuild', eve)).toMatchObject({ status: 202, body: { lagEvents: null, position: '700' } })
})

test.each<[string, unknown]>([
  ['/sales/rebuild', {}],
  ['/sales/rebuild', { operator: '' }],
  ['/sales/rebuild', { ...eve, sample: -1 }],
  ['/sales/rebuild', { ...eve, sample: 'some' }],
  ['/sales/rebuild', { ...eve, dryRun: 'yes' }],
  ['/sales/rebuild', { ...eve, force: true }],
  ['/Sales/rebuild', eve],
  ['/sales@2/rebuild', eve],
  ['/rebuild', { ...eve, projections: [] }],
  ['/rebuild', { ...eve, projections: ['sales', 'sales'] }],
  ['/rebuild', { ...eve, projections: 'some' }],
  ['/rebuild', eve],
  ['/sales/rebuild/cancel', { reason: 'why not' }],
  ['/sales/generations/0/drop', eve],
  ['/sales/generations/x/drop', eve],
])('%s with %o is refused', async (path, body) => {
  const { service, post } = given()
  expect(await post(path, body)).toMatchObject({ status: 400, body: { code: 'invalid-request' } })
  expect(service.asked).toEqual([])
})
