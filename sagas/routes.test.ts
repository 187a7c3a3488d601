import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import { createHttpServer, type HttpServer } from '../platform/http-server.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { registerSagaApi } from './routes.ts'

let server: HttpServer
beforeAll(() => {
  server = createHttpServer({ logger, metrics: createMetrics() })
  const database = { query: async () => [] } as unknown as Database
  registerSagaApi(server, { store: createMemoryEventStore(), database, clock: systemClock, logger })
})
afterAll(() => server.close())

const url = '/v1/sagas/7f3c1d52-8f64-4d4e-9a53-6b1f0c1c7a01/retry'
const post = (path: string, payload: object) => server.inject({ method: 'POST', url: path, payload })

test('an intervention needs an operator and a reason', async () => {
  for (const payload of [{}, { operator: 'ann' }, { operator: 'ann', reason: '', more: 1 }])
    expect((await post(url, payload)).json()).toMatchObject({ status: 400, code: 'invalid-request' })
})

test('what is not an order id is refused, an unknown one is not found', async () => {
  const payload = { operator: 'ann', reason: 'because' }
  expect((await post('/v1/sagas/nonsense/skip', payload)).json()).toMatchObject({ code: 'invalid-request' })
  expect((await post(url, payload)).json()).toMatchObject({ status: 404, code: 'saga-not-found' })
})
