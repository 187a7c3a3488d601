import { describe, expect, it } from 'vitest'
import { drive, median, percentile } from './measure.ts'

describe('drive', () => {
  it('makes every call once, with no more callers at work than asked for', async () => {
    const seen: number[] = []
    let working = 0
    let most = 0
    const measured = await drive({ callers: 3, count: 10 }, async (index) => {
      most = Math.max(most, ++working)
      await new Promise(setImmediate)
      working -= 1
      seen.push(index)
    })
    expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(most).toBe(3)
    expect(measured).toMatchObject({ done: 10 })
    expect(measured.latenciesMs).toHaveLength(10)
  })

  it('begins no call after its time is up and counts only what was done', async () => {
    const measured = await drive({ callers: 2, count: 1_000_000, seconds: 0 }, () => new Promise(setImmediate))
    expect(measured.done).toBeLessThanOrEqual(2)
  })
})

describe('percentile', () => {
  it('is a value that was measured', () => {
    expect(percentile([5, 1, 4, 2, 3], 0.5)).toBe(3)
    expect(percentile([5, 1, 4, 2, 3], 0.99)).toBe(5)
    expect(median([10, 30, 20])).toBe(20)
    expect(percentile([], 0.5)).toBeUndefined()
  })
})
