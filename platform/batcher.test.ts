import { afterEach, describe, expect, test, vi } from 'vitest'
import { type BatcherOptions, createBatcher } from './batcher.ts'
import { NeverSent } from './failures.ts'

/** A batcher of numbers whose batches stay in flight until they are told to land. */
const heldBatcher = (options: Partial<BatcherOptions<number, number>> = {}) => {
  const flights: { items: readonly number[]; land: (error?: Error) => void }[] = []
  const add = createBatcher<number, number>({
    maxItems: 100,
    concurrency: 1,
    ...options,
    run: (items) =>
      new Promise((resolve, reject) => {
        flights.push({ items, land: (error) => (error ? reject(error) : resolve(items.map((item) => item * 10))) })
      }),
  })
  return { add, flights }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('a batcher', () => {
  test('gathers the calls of one moment and answers each with its own result', async () => {
    const { add, flights } = heldBatcher()
    const results = Promise.all([1, 2, 3].map(add))
    await turn()
    expect(flights.map((flight) => flight.items)).toEqual([[1, 2, 3]])
    flights[0]?.land()
    expect(await results).toEqual([10, 20, 30])
  })

  test('fills the next batch while one is in flight', async () => {
    const { add, flights } = heldBatcher()
    const results = [add(1)]
    await turn()
    results.push(add(2), add(3))
    await turn()
    expect(flights).toHaveLength(1)
    flights[0]?.land()
    await turn()
    expect(flights[1]?.items).toEqual([2, 3])
    flights[1]?.land()
    expect(await Promise.all(results)).toEqual([10, 20, 30])
  })

  test('keeps to its bounds on items and on batches in flight', async () => {
    const { add, flights } = heldBatcher({ maxItems: 2, concurrency: 2 })
    const results = Promise.all([1, 2, 3, 4, 5].map(add))
    await turn()
    expect(flights.map((flight) => flight.items)).toEqual([
      [1, 2],
      [3, 4],
    ])
    flights[1]?.land()
    await turn()
    expect(flights[2]?.items).toEqual([5])
    for (const flight of flights) flight.land()
    expect(await results).toEqual([10, 20, 30, 40, 50])
  })

  test('keeps to its bound on weight, but one item too heavy travels alone', async () => {
    const { add, flights } = heldBatcher({ weightOf: (item) => item, maxWeight: 10, concurrency: 9 })
    const results = Promise.all([6, 4, 50, 5, 6].map(add))
    await turn()
    expect(flights.flatMap((flight) => [...flight.items]).sort((a, b) => a - b)).toEqual([4, 5, 6, 6, 50])
    for (const { items } of flights)
      expect(items.length === 1 || items.reduce((sum, item) => sum + item, 0) <= 10).toBe(true)
    for (const flight of flights) flight.land()
    expect(await results).toEqual([60, 40, 500, 50, 60])
  })

  test('never lets two items of one key share a batch, overlap or overtake', async () => {
    const { add, flights } = heldBatcher({ keyOf: (item) => (item % 2 === 0 ? 'even' : `odd-${item}`), concurrency: 2 })
    const results = Promise.all([2, 4, 1, 6, 3].map(add))
    await turn()
    expect(flights.map((flight) => flight.items)).toEqual([[2, 1, 3]])
    flights[0]?.land()
    await turn()
    expect(flights[1]?.items).toEqual([4])
    flights[1]?.land()
    await turn()
    expect(flights[2]?.items).toEqual([6])
    flights[2]?.land()
    expect(await results).toEqual([20, 40, 10, 60, 30])
  })

  test('an error of a batch reaches every item in it and none of the next', async () => {
    const { add, flights } = heldBatcher({ maxItems: 2, keyOf: String })
    const results = Promise.allSettled([1, 2, 3].map(add))
    await turn()
    flights[0]?.land(new Error('refused'))
    await turn()
    flights[1]?.land()
    expect((await results).map((result) => result.status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  })

  test('a batch that comes back with too few results is an error', async () => {
    const add = createBatcher<number, number>({ maxItems: 9, concurrency: 1, run: async () => [1] })
    const results = await Promise.allSettled([add(1), add(2)])
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
  })

  describe('whose engine hangs', () => {
    afterEach(() => vi.useRealTimers())

    test('gives up what has waited too long for its turn, and never what is in flight', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      const { add, flights } = heldBatcher({ maxItems: 1, maxQueuedMs: 1_000 })
      const settled: string[] = []
      const watch = (item: number) =>
        add(item).then(
          () => settled.push(`${item} sent`),
          (error: unknown) => settled.push(`${item} ${error instanceof NeverSent ? 'never sent' : error}`),
        )
      void watch(1)
      await turn()
      void watch(2)
      vi.advanceTimersByTime(600)
      void watch(3)
      vi.advanceTimersByTime(600)
      await turn()
      expect(settled).toEqual(['2 never sent'])
      vi.advanceTimersByTime(600)
      await turn()
      expect(settled).toEqual(['2 never sent', '3 never sent'])
      flights[0]?.land()
      await turn()
      expect(settled).toEqual(['2 never sent', '3 never sent', '1 sent'])
      expect(flights.map((flight) => flight.items)).toEqual([[1]])
    })

    test('takes no more than its queue holds, by number and by weight', async () => {
      const few = heldBatcher({ maxItems: 1, maxQueued: 2 })
      const light = heldBatcher({ maxItems: 1, weightOf: (item) => item, maxQueuedWeight: 10 })
      const overflowing = async ({ add, flights }: typeof few, items: readonly number[]) => {
        const results = Promise.allSettled(items.map(add))
        for (const _ of items) {
          await turn()
          flights.at(-1)?.land()
        }
        return (await results).map((result) => (result.status === 'fulfilled' ? result.value : result.reason.name))
      }
      expect(await overflowing(few, [1, 2, 3])).toEqual([10, 20, 'NeverSent'])
      expect(await overflowing(light, [4, 6, 1])).toEqual([40, 60, 'NeverSent'])
      expect(await overflowing(light, [40, 6])).toEqual([400, 'NeverSent'])
      expect(await overflowing(light, [4, 6])).toEqual([40, 60])
    })
  })
})
