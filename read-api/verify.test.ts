import { afterEach, expect, test } from 'vitest'
import { createHttpServer } from '../platform/http-server.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { Generation, Rebuild, RebuildPhase, RebuildService } from '../projections/rebuild.ts'
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
let phase: RebuildPhase = 'done'
const rebuilds = {
  generations: async () => [generation(3, 'building'), generation(2, 'live'), generation(1, 'kept')],
  rebuilds: async () => [{ projection: 'sales', generation: 3, phase } as Rebuild],
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

test('one that is still loaded is refused: the places of its lanes are not those of partitions', async () => {
  for (phase of ['loading', 'indexing'] as const) {
    const answer = await post({ generation: 3 })
    expect(answer.json()).toMatchObject({ status: 409, code: 'verify-generation-loading', generation: 3, phase })
  }
  expect(asked).toEqual([])
  for (phase of ['catching-up', 'verifying', 'swapping'] as const) await post({ generation: 3 })
  expect(asked).toEqual([3, 3, 3])
})
