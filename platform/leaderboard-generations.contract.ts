import type { Clock } from './clock.ts'
import type { LeaderboardBatch, LeaderboardStore } from './leaderboard-store.ts'
import { describeStoreGenerations, type GenerationsSubject } from './store-generations.contract.ts'

const now = new Date('2026-11-21T12:30:00.000Z')
const at = now.toISOString()

type Subject = GenerationsSubject<LeaderboardBatch, LeaderboardStore>

/** What every leaderboard store must do with its generations. `open` gives an unprepared, empty one. */
export const describeLeaderboardGenerations = (
  engine: string,
  open: (clock: Clock) => Promise<Omit<Subject, 'name' | 'effect' | 'shown'>>,
): void =>
  describeStoreGenerations<LeaderboardBatch, LeaderboardStore>(
    `leaderboards in ${engine}`,
    async () => ({
      ...(await open({ now: () => now })),
      name: 'leaderboards',
      effect: (key) => ({
        deltas: key === 0 ? [] : [{ board: 'products', key: `${key}`, at, currency: 'EUR', revenue: 10n, units: 1n }],
      }),
      shown: async (store) => {
        const entries = await store.top({ board: 'products', by: 'units', window: 'all', at, limit: 100 })
        return entries.map(({ key }) => Number(key)).sort((a, b) => a - b)
      },
    }),
    { addsUp: true },
  )
