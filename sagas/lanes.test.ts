import { expect, test } from 'vitest'
import { createLanes } from './lanes.ts'
import { createLowWaterMark } from './low-water-mark.ts'

const gate = () => {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

test('items of one key are handled one bunch after the other, other keys do not wait for them', async () => {
  const [held, seen] = [gate(), [] as string[]]
  const lanes = createLanes<number>({
    concurrency: 2,
    handle: async (key, items) => {
      seen.push(`${key}${items.join('')}`)
      if (key === 'slow') await held.opened
    },
  })
  for (const [key, item] of [
    ['slow', 1],
    ['a', 1],
    ['a', 2],
    ['b', 1],
  ] as const)
    lanes.add(key, item)
  await Promise.resolve()
  lanes.add('slow', 2)
  lanes.add('c', 1)
  await new Promise(setImmediate)
  expect(seen).toEqual(['slow1', 'a12', 'b1', 'c1'])
  held.open()
  await lanes.idle()
  expect(seen.at(-1)).toBe('slow2')
  expect(lanes.busy).toBe(0)
})

test('the low-water mark passes what is finished only when everything before is', () => {
  const mark = createLowWaterMark(10n)
  const [first, second] = [mark.begin(20n, 2), mark.begin(30n, 1)]
  mark.begin(40n, 0)
  expect(mark.position()).toBe(10n)
  second()
  first()
  expect(mark.position()).toBe(10n)
  first()
  expect(mark.position()).toBe(40n)
  mark.begin(50n, 0)
  expect(mark.position()).toBe(50n)
})
