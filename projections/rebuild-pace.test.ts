import { expect, test } from 'vitest'
import { createPace } from './rebuild-pace.ts'

test('it works in short pieces until the log is known to be quiet, and as soon as it is not', async () => {
  let head = 10n
  let clock = 0
  const pace = createPace(
    async () => head,
    () => clock,
  )
  const { signal } = new AbortController()
  const chunkAfter = async (ms: number): Promise<number> => {
    clock += ms
    await pace.rest(0, signal)
    return pace.chunkEvents()
  }
  const short = pace.chunkEvents()
  expect(await chunkAfter(300)).toBe(short)
  expect(await chunkAfter(1_000)).toBe(short)
  const whole = await chunkAfter(1_500)
  expect(whole).toBeGreaterThan(short)
  head += 1n
  expect(await chunkAfter(300)).toBe(short)
  expect(await chunkAfter(2_500)).toBe(whole)
  // Another rebuild, much later: nobody has looked meanwhile.
  clock += 60_000
  expect(pace.chunkEvents()).toBe(short)
})
