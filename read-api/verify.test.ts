import { afterEach, expect, test } from 'vitest'
import { createHttpServer } from '../platform/http-server.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { Generation, RebuildService } from '../projections/rebuild.ts'
import type { Verifier, VerifyOptions } from '../projections/verify.ts'
import { registerVerify } from './verify.ts'

const generation = (number: number, state: Generation['state']): Generation => ({
  ...{ projection: 'sales', generation: number, version: 1, state },
  ...{ createdAt: '2026-11-21T00:00:00.000Z', replacedAt: null },
})

const asked: (number | undefined)[] = []
const verifier = {
  names: ['sales'],
  verify: async (_name: string, options?: VerifyOptions) => {
    asked.push(options?.generation)
    throw new Error('enough was seen')
  },
} satisfies Verifier
const rebuilds = {
  generations: async () => [generation(2, 'live'), generation(1, 'kept')],
} satisfies Partial<RebuildService> as unknown as RebuildService

const server = createHttpServer({ logger: silentLogger, metrics: createMetrics() })
registerVerify(server, { verifier, rebuilds })
afterEach(() => {
  asked.length = 0
})
const post = (payload: object) => server.inject({ method: 'POST', url: '/v1/projections/sales/verify', payload })

test('a generation that does not exist is refused before anything looks for it', async () => {
  const answer = await post({ generation: 7, repair: { operator: 'ada', reason: 'a test' } })
  expect(answer.json()).toMatchObject({ status: 404, code: 'generation-not-found', generation: 7 })
  expect(asked).toEqual([])
})

test('one that is kept is verified as such, and the live one by its number as the live one', async () => {
  await post({ generation: 1 })
  await post({ generation: 2 })
  await post({})
  expect(asked).toEqual([1, undefined, undefined])
})
