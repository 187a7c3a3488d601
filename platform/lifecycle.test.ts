import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createLifecycle } from './lifecycle.ts'
import { silentLogger } from './logging.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const held = () => {
  let release = (): void => undefined
  const until = new Promise<void>((resolve) => {
    release = resolve
  })
  return { until, release }
}
const never = () => new Promise<never>(() => undefined)

/** A lifecycle with time for draining of 10 s that writes down what it does, and what it warns of. */
const recording = () => {
  const told: string[] = []
  const logger = { ...silentLogger, warn: (...words: unknown[]) => told.push(String(words.at(-1))) }
  const lifecycle = createLifecycle(logger as never, 10_000)
  const add = (name: string, stop: () => unknown, options?: Parameters<typeof lifecycle.onStop>[2]) =>
    lifecycle.onStop(
      name,
      () => {
        told.push(name)
        return stop()
      },
      options,
    )
  return { told, lifecycle, add }
}

test('the last started is stopped first, a group as one, and a failure keeps nobody from its turn', async () => {
  const { told, lifecycle, add } = recording()
  const one = held()
  add('engine', () => undefined)
  add('worker 1', () => one.until, { group: 'work' })
  add('worker 2', () => Promise.reject(new Error('no')), { group: 'work' })
  add('server', () => undefined)
  const stopped = lifecycle.stop()
  expect(lifecycle.isStopping()).toBe(true)
  await vi.advanceTimersByTimeAsync(1)
  expect(told).toEqual(['server', 'worker 2', 'worker 1', 'worker 2 did not stop cleanly'])
  one.release()
  await stopped
  expect(told.at(-1)).toBe('engine')
})

test('on engines that hang the whole is bounded, however many workers there are, and the database has its own time', async () => {
  const { told, lifecycle, add } = recording()
  const database = held()
  add('database', () => database.until, { withinMs: 20_000 })
  add('pool', never)
  for (let number = 1; number <= 12; number += 1) add(`worker ${number}`, never, { group: 'work' })
  add('server', never)
  const stopped = lifecycle.stop()
  await vi.advanceTimersByTimeAsync(11_000)
  expect(told.filter((line) => /^worker \d+ did not stop within 5000 ms$/.test(line))).toHaveLength(12)
  expect(told.at(-1)).toBe('database')
  await vi.advanceTimersByTimeAsync(15_000)
  expect(told.at(-1)).toBe('database')
  database.release()
  await stopped
})
