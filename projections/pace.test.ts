import { expect, test } from 'vitest'
import { createPace } from './pace.ts'

test('it works in short pieces until the log is known to be quiet, and as soon as it is not', async () => {
  let head = 10n
  let clock = 0
  const pace = createPace(async () => head, { now: () => clock })
  const { signal } = new AbortController()
  const chunkAfter = async (ms: number): Promise<number> => {
    clock += ms
    await pace.rest(0, signal)
    return pace.chunkEvents()
  }
  const short = pace.chunkEvents()
  expect(await chunkAfter(300)).toBe(short)
  expect(pace.windowEvents()).toBe(0)
  // Nobody has looked again.
  clock += 250
  expect(pace.chunkEvents()).toBe(short)
  const whole = await chunkAfter(300)
  expect(whole).toBeGreaterThan(short)
  expect(pace.windowEvents()).toBeGreaterThan(whole)
  head += 1n
  expect(await chunkAfter(300)).toBe(short)
  expect(pace.windowEvents()).toBe(0)
  expect(await chunkAfter(1_500)).toBe(short)
  expect(await chunkAfter(1_000)).toBe(whole)
  // Another rebuild, much later: nobody has looked meanwhile.
  clock += 60_000
  expect(pace.chunkEvents()).toBe(short)
  head += 1n
  expect(await chunkAfter(0)).toBe(short)
  expect(await chunkAfter(300)).toBe(whole)
})

test('what one has seen, another goes on from', async () => {
  let clock = 0
  let head = 10n
  const now = () => clock
  const { signal } = new AbortController()
  const first = createPace(async () => head, { now })
  await first.rest(0, signal)
  clock += 300
  const second = createPace(async () => head, { now, threads: 2, known: first.known?.() })
  expect(second.windowEvents()).toBe(0)
  await second.rest(0, signal)
  expect(second.windowEvents()).toBeGreaterThan(0)
  const third = createPace(async () => head, { now, threads: 2, known: second.known?.() })
  expect(third.windowEvents()).toBeGreaterThan(0)
  head += 1n
  clock += 300
  await third.rest(0, signal)
  expect(third.windowEvents()).toBe(0)
})
