import { expect, test } from 'vitest'
import { silentLogger as logger } from '../platform/logging.ts'
import { loadInThreads } from './rebuild-threads.ts'
import type { RebuildWorker } from './rebuild-worker.ts'
import { defaultErrorPolicy as policy } from './verdict.ts'

const never = (): never => {
  throw new Error('no thread is to be started')
}
const order = { position: 10n, types: [], pace: undefined, policy }

test('who has been told to stop before it begins starts no thread', async () => {
  const worker = { rebuild: { projection: 'order_details', lanes: 2 } } as unknown as RebuildWorker
  const deps = { startThread: never, splits: true, logger }
  expect(await loadInThreads(deps, [worker], { ...order, signal: AbortSignal.abort() })).toEqual([])
  expect(await loadInThreads(deps, [], { ...order, signal: new AbortController().signal })).toEqual([])
})
