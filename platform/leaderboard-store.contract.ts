import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'
import { hourRetentionDays, type LeaderboardDelta, type LeaderboardStore } from './leaderboard-store.ts'

export interface OpenedLeaderboardStore {
  readonly store: LeaderboardStore
  close(): Promise<void>
}

const noon = '2026-11-21T12:30:00.000Z'

const sold = (key: string, units: number, revenue: number, over: Partial<LeaderboardDelta> = {}): LeaderboardDelta => ({
  board: 'products',
  key,
  at: noon,
  currency: 'EUR',
  revenue: BigInt(revenue),
  units: BigInt(units),
  ...over,
})

/** What every leaderboard store must do. `open` gives a prepared, empty store whose time is the clock's. */
export const describeLeaderboardStore = (
  name: string,
  open: (options: { readonly clock: Clock }) => Promise<OpenedLeaderboardStore>,
): void => {
  describe(`leaderboard store: ${name}`, () => {
    let opened: OpenedLeaderboardStore
    let store: LeaderboardStore
    let now = new Date(noon)
    beforeAll(async () => {
      opened = await open({ clock: { now: () => now } })
      store = opened.store
    })
    afterAll(() => opened?.close())

    // Each test is a consumer of its own on an emptied store, so that its first batch goes from 0.
    let consumer = ''
    let position = 0n
    const begin = async (test: string): Promise<void> => {
      now = new Date(noon)
      consumer = test
      position = 0n
      await store.reset(consumer)
    }
    const apply = async (...deltas: LeaderboardDelta[]): Promise<void> => {
      const batch = { consumer, partition: 0, from: position, to: position + 1n, deltas }
      expect(await store.applyBatch(batch)).toBe('applied')
      position += 1n
    }
    const ranking = async (query: Partial<Parameters<LeaderboardStore['top']>[0]> = {}): Promise<string[]> => {
      const full = { board: 'products', by: 'revenue', window: 'all', at: noon, currency: 'EUR', limit: 10, ...query }
      const entries = await store.top(full as Parameters<LeaderboardStore['top']>[0])
      return entries.map((entry) => `${entry.rank} ${entry.key} ${entry.score}`)
    }

    it('ranks by revenue and by units, whichever is asked for', async () => {
      await begin('ranks')
      await apply(sold('phone', 1, 90_000), sold('cable', 40, 40_000), sold('case', 5, 10_000))
      expect(await ranking()).toEqual(['1 phone 90000', '2 cable 40000', '3 case 10000'])
      expect(await ranking({ by: 'units' })).toEqual(['1 cable 40', '2 case 5', '3 phone 1'])
      expect(await ranking({ limit: 1 })).toEqual(['1 phone 90000'])
      expect(await ranking({ board: 'customers' })).toEqual([])
    })

    it('shows both measures of an entry', async () => {
      await begin('both')
      await apply(sold('phone', 2, 500), sold('phone', 1, 300, { currency: 'USD' }))
      const euros = await store.top({
        board: 'products',
        by: 'revenue',
        window: 'all',
        at: noon,
        currency: 'EUR',
        limit: 1,
      })
      expect(euros).toEqual([{ rank: 1, key: 'phone', score: 500n, units: 3n, revenue: 500n }])
      const units = await store.top({ board: 'products', by: 'units', window: 'all', at: noon, limit: 1 })
      expect(units).toEqual([{ rank: 1, key: 'phone', score: 3n, units: 3n, revenue: null }])
    })

    it('orders equal scores by key', async () => {
      await begin('ties')
      await apply(sold('b', 1, 100), sold('a', 1, 100), sold('B', 1, 100), sold('c', 1, 101))
      expect(await ranking()).toEqual(['1 c 101', '2 B 100', '3 a 100', '4 b 100'])
    })

    it('counts each sale in its own hour and day (UTC) and in all time', async () => {
      await begin('windows')
      await apply(
        sold('early', 1, 10, { at: '2026-11-21T00:00:00.000Z' }),
        sold('late', 1, 20, { at: '2026-11-21T23:59:59.999Z' }),
        sold('next', 1, 30, { at: '2026-11-22T00:00:00.000Z' }),
      )
      expect(await ranking({ window: 'hour', at: '2026-11-21T00:59:59.999Z' })).toEqual(['1 early 10'])
      expect(await ranking({ window: 'hour', at: '2026-11-21T01:00:00.000Z' })).toEqual([])
      expect(await ranking({ window: 'day', at: noon })).toEqual(['1 late 20', '2 early 10'])
      expect(await ranking({ window: 'day', at: '2026-11-22T12:00:00.000Z' })).toEqual(['1 next 30'])
      expect(await ranking()).toEqual(['1 next 30', '2 late 20', '3 early 10'])
    })

    it('keeps currencies apart and names them, the one that sold the most units first', async () => {
      await begin('currencies')
      await apply(sold('a', 1, 10), sold('b', 2, 99, { currency: 'USD' }), sold('c', 1, 5, { currency: 'JPY' }))
      await apply(sold('c', -1, -5, { currency: 'JPY' }))
      expect(await ranking()).toEqual(['1 a 10'])
      expect(await ranking({ currency: 'USD' })).toEqual(['1 b 99'])
      expect(await ranking({ by: 'units' })).toEqual(['1 b 2', '2 a 1'])
      expect(await store.currencies({ board: 'products', window: 'day', at: noon })).toEqual(['USD', 'EUR'])
      expect(await store.currencies({ board: 'customers', window: 'day', at: noon })).toEqual([])
    })

    it('adds up deltas in any order and hides a key that has come to nothing', async () => {
      await begin('sums')
      await apply(sold('a', -2, -20))
      expect(await ranking()).toEqual([])
      await apply(sold('a', 2, 20), sold('b', 1, 7), sold('a', 3, 30))
      expect(await ranking()).toEqual(['1 a 30', '2 b 7'])
      await apply(sold('a', -3, -30))
      expect(await ranking()).toEqual(['1 b 7'])
    })

    it('applies the same batch once and leaves nothing of a fenced one', async () => {
      await begin('fence')
      const batch = { consumer, partition: 0, from: 0n, to: 10n, deltas: [sold('a', 1, 10)] }
      expect(await store.applyBatch(batch)).toBe('applied')
      expect(await store.applyBatch(batch)).toBe('fenced')
      expect(await store.applyBatch({ ...batch, from: 5n, to: 15n })).toBe('fenced')
      expect(await ranking()).toEqual(['1 a 10'])
      expect((await store.checkpoint(consumer, 0)).position).toBe(10n)
      expect(await store.applyBatch({ ...batch, from: 10n, to: 10n })).toBe('applied')
      expect(await ranking()).toEqual(['1 a 20'])
    })

    it('lets one of several writers of the same batch win', async () => {
      await begin('race')
      const batch = { consumer, partition: 0, from: 0n, to: 10n, deltas: [sold('a', 1, 10)] }
      const outcomes = await Promise.all(Array.from({ length: 8 }, () => store.applyBatch(batch)))
      expect(outcomes.filter((outcome) => outcome === 'applied')).toHaveLength(1)
      expect(await ranking()).toEqual(['1 a 10'])
    })

    it('takes batches of several partitions for the same keys at once', async () => {
      await begin('partitions')
      const keys = ['a', 'b', 'c', 'd', 'e']
      await Promise.all(
        Array.from({ length: 8 }, async (_, partition) => {
          for (let from = 0n; from < 5n; from += 1n) {
            const order = partition % 2 === 0 ? keys : keys.toReversed()
            const deltas = order.map((key) => sold(key, 1, 10))
            expect(await store.applyBatch({ consumer, partition, from, to: from + 1n, deltas })).toBe('applied')
          }
        }),
      )
      expect(await ranking()).toEqual(keys.map((key, index) => `${index + 1} ${key} 400`))
      expect((await store.checkpoint(consumer, 7)).position).toBe(5n)
    })

    it('moves the checkpoint alone when there is nothing to add', async () => {
      await begin('empty')
      const before = await store.checkpoint(consumer, 0)
      expect(before.position).toBe(0n)
      await apply()
      const after = await store.checkpoint(consumer, 0)
      expect(after).toEqual({ ...before, position: 1n })
      expect(after.logIdentity).toMatch(/^[0-9a-f-]{36}$/)
    })

    it('runs the book-keeping of an applied batch and not that of a fenced one', async () => {
      await begin('record')
      let recorded = 0
      const record = async () => {
        recorded += 1
      }
      const batch = { consumer, partition: 0, from: 0n, to: 1n, deltas: [sold('a', 1, 10)], record }
      expect(await store.applyBatch(batch)).toBe('applied')
      expect(recorded).toBe(1)
      expect(await ranking()).toEqual(['1 a 10'])
    })

    it('counts money exactly up to 2^53 minor units', async () => {
      await begin('exact')
      const most = 9_007_199_254_740_000n
      await apply(sold('a', 1, 0, { revenue: most }), sold('b', 1, 0, { revenue: most + 1n }))
      await apply(sold('a', 1, 2))
      expect(await ranking()).toEqual([`1 a ${most + 2n}`, `2 b ${most + 1n}`])
    })

    it('forgets hours that are too old, and keeps their days', async () => {
      await begin('retention')
      await apply(sold('a', 1, 10))
      expect(await ranking({ window: 'hour' })).toEqual(['1 a 10'])
      now = new Date(now.getTime() + (hourRetentionDays * 24 + 1) * 3_600_000)
      await apply()
      expect(await ranking({ window: 'hour' })).toEqual([])
      await apply(sold('a', 1, 10))
      expect(await ranking({ window: 'hour' })).toEqual([])
      expect(await ranking({ window: 'day' })).toEqual(['1 a 20'])
    })

    it('begins anew after a reset', async () => {
      await begin('reset')
      await apply(sold('a', 1, 10))
      await store.reset(consumer)
      expect((await store.checkpoint(consumer, 0)).position).toBe(0n)
      expect(await ranking()).toEqual([])
    })

    /** Every score above or below zero that a scan shows, and where it stood. */
    const scanned = async () => {
      const scores = new Map<string, bigint>()
      const stood = new Set<string>()
      let ends = 0
      await store.scan(consumer, async (portion) => {
        const whole =
          portion.whole === 'rest' ? undefined : new Set(portion.whole.map((place) => JSON.stringify(place)))
        if (!whole) ends += 1
        stood.add(
          JSON.stringify([
            ...portion.checkpoints.map(({ partition, position: at }) => `${partition} ${at}`),
            ...portion.skipped.map(String),
          ]),
        )
        for (const { key, score, ...place } of portion.scores)
          if (score !== 0n) scores.set(Object.values(place).concat(key).join(' '), score)
      })
      expect(ends).toBe(1)
      return { scores: new Map([...scores].sort()), stood: [...stood] }
    }

    it('shows every score and where the consumer stood', async () => {
      await begin('scan')
      await apply(sold('a', 2, 20), sold('b', 1, 10, { currency: 'JPY' }))
      await apply(sold('b', -1, -10, { currency: 'JPY' }))
      const { scores, stood } = await scanned()
      expect(stood).toEqual([JSON.stringify(['0 2'])])
      expect(scores.size).toBe(9)
      expect([...scores.values()].toSorted()).toEqual([2n, 2n, 2n, 2n, 2n, 2n, 20n, 20n, 20n])
    })

    it('shows many boards and members, each once', async () => {
      await begin('large-scan')
      const hours = Array.from({ length: 230 }, (_, n) => new Date(Date.parse(noon) - n * 3_600_000).toISOString())
      await apply(...hours.map((at) => sold('a', 1, 10, { at })))
      await apply(...Array.from({ length: 6_000 }, (_, n) => sold(`sku-${n}`, 1, 10)))
      const { scores } = await scanned()
      expect([...scores].filter(([name]) => name.includes('hour'))).toHaveLength(230 * 3 + 6_000 * 2)
    })

    it('corrects single scores and nothing else, where the checkpoint stands', async () => {
      await begin('correct')
      await apply(sold('a', 2, 20))
      const place = {
        board: 'products',
        measure: 'units',
        currency: '',
        window: 'day',
        bucket: '2026-11-21T00:00:00Z',
      } as const
      const before = (await scanned()).scores
      const batch = {
        consumer,
        partition: 0,
        from: 1n,
        to: 1n,
        deltas: [],
        corrections: [{ ...place, key: 'a', change: 5n }],
      }
      expect(await store.applyBatch({ ...batch, from: 0n, to: 0n })).toBe('fenced')
      expect(await store.applyBatch(batch)).toBe('applied')
      const after = (await scanned()).scores
      const changed = [...after].filter(([name, score]) => before.get(name) !== score)
      expect(changed).toHaveLength(1)
      expect(changed[0]?.[1]).toBe(7n)
      expect(after.size).toBe(before.size)
    })
  })
}
