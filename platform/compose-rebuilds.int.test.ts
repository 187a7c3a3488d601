import { expect, test } from 'vitest'
import { orderDetails } from '../projections/order-details.ts'
import { createPostgresProjection } from '../projections/postgres-sink.ts'
import { eventually } from '../test/support/eventually.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig } from '../test/support/projection-rig.ts'
import { composeRebuilds } from './compose-rebuilds.ts'
import { silentLogger as logger } from './logging.ts'
import { createMetrics } from './metrics.ts'

test('the streams that may be parked are limited in rebuilds as they are live', async () => {
  const rig = await openProjectionRig()
  const { database, store, leases, feed } = rig
  const definition = orderDetails(createTestVault())
  const broken = createPostgresProjection(database, {
    ...definition,
    apply: async () => {
      throw new TypeError('broken everywhere')
    },
  })
  await append(store, ...Array.from({ length: 3 }, () => orderLife({}).placed))
  const deps = {
    engines: { database, rebuilding: database, store, leases, feed },
    guard: { examine: async () => undefined },
    ...{ projections: [broken], lanes: 1, verifier: {}, logger, metrics: createMetrics(), maxParkedStreams: 2 },
  }
  const { service, rebuilder } = composeRebuilds(deps as unknown as Parameters<typeof composeRebuilds>[0])
  const stopping = new AbortController()
  const ended = rebuilder.run(stopping.signal)
  await service.start(['order_details'], { operator: 'ada' }, { sample: 0 })
  const failed = await eventually(
    async () => (await service.rebuilds('order_details'))[0],
    (rebuild) => rebuild?.state !== 'running',
  )
  expect(failed?.error).toContain('has parked events of 2 streams')
  stopping.abort()
  await ended
  await rig.close()
})
