import { expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { inWindows, WindowLost } from './window-sink.ts'

/** A window that is given batches without events, and what becomes of its steps. */
const given = (failures: unknown[] = []) => {
  const steps: { from: bigint; to: bigint }[] = []
  let tries = 0
  const windowed = inWindows({
    sink: { apply: async () => 'applied' },
    window: { fold: async () => undefined, turn: () => async () => undefined, forget: () => undefined },
    commit: async ({ from, to }) => {
      tries += 1
      const failure = failures.shift()
      if (failure) throw failure
      steps.push({ from, to })
      return 'applied'
    },
    windowEvents: () => 8_000,
  })
  const take = async (batches: number) => {
    for (let at = 0n; at < batches; at += 1n)
      await windowed.apply({ partition: 0, from: at * 10n, to: (at + 1n) * 10n, events: [] })
  }
  return { windowed, steps, take, tries: () => tries }
}

test('the checkpoint moves though there are few events, each step from where the last one ended', async () => {
  const { windowed, steps, take } = given()
  await take(100)
  expect(steps.length).toBeGreaterThan(1)
  await windowed.flush()
  expect(steps.at(-1)?.to).toBe(1_000n)
  steps.forEach(({ from }, index) => {
    expect(from).toBe(steps[index - 1]?.to ?? 0n)
  })
})

test('what a server that is away for a moment did not write is written again', async () => {
  const away = new EngineUnavailable('PostgreSQL', new Error('away'))
  const { windowed, steps, take, tries } = given([away, away])
  await take(1)
  await windowed.flush()
  expect(tries()).toBe(3)
  expect(steps).toEqual([{ from: 0n, to: 10n }])
})

test.each([
  ['a disk that is full', Object.assign(new Error('No space left on device'), { code: '53100' })],
  ['a statement that takes too long', Object.assign(new Error('canceling statement'), { code: '57014' })],
  ['a value that does not fit', Object.assign(new Error('out of range'), { code: '22003' })],
])('%s is not tried again with the same', async (_what, error) => {
  const { windowed, steps, take, tries } = given([error])
  await take(1)
  await expect(windowed.flush()).rejects.toBeInstanceOf(WindowLost)
  expect(tries()).toBe(1)
  expect(steps).toEqual([])
})
