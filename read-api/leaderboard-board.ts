import type { Clock } from '../platform/clock.ts'
import type { Database, Statement } from '../platform/database.ts'
import { type Board, bucketOf, type TopQuery } from '../platform/leaderboard-store.ts'
import type { LeaderboardQuery } from '../schemas/queries.ts'
import type { Leaderboard } from '../schemas/views.ts'

const namesStatement: Statement = {
  name: 'product_names',
  text: 'select sku, name from catalogue.products where sku = any ($1::text[])',
}

/** The leaderboards of now or of then. */
interface Boards {
  top(query: TopQuery): Promise<readonly { readonly rank: number; readonly key: string; readonly score: bigint }[]>
  currencies(query: Pick<TopQuery, 'board' | 'window' | 'at'>): Promise<readonly string[]>
}

/**
 * A leaderboard as it stands. By revenue in the currency asked for; when none is named, in the one that sold the most
 * units in that window.
 */
export const readLeaderboard = async (
  deps: { readonly leaderboards: Boards; readonly database: Database; readonly clock: Clock },
  board: Board,
  query: Omit<LeaderboardQuery, 'waitMs' | 'asOf'>,
): Promise<Leaderboard> => {
  const { by = 'revenue', window = 'all', limit = 10 } = query
  const at = query.at ?? deps.clock.now().toISOString()
  const place = { board, window, at }
  const currency = by === 'units' ? null : (query.currency ?? (await deps.leaderboards.currencies(place))[0] ?? null)
  const answer = { board, by, window, windowStart: window === 'all' ? null : bucketOf(window, at), currency }
  if (by === 'revenue' && currency === null) return { ...answer, places: [] }
  const entries = await deps.leaderboards.top(
    currency === null ? { ...place, limit, by: 'units' } : { ...place, limit, by: 'revenue', currency },
  )
  const rows =
    board === 'products' && entries.length > 0
      ? await deps.database.execute<{ sku: string; name: string }>(namesStatement, [entries.map((entry) => entry.key)])
      : []
  const names = new Map(rows.map((row) => [row.sku, row.name]))
  const places = entries.map(({ rank, key, score }) => ({
    rank,
    key,
    name: names.get(key) ?? null,
    revenue: currency === null ? null : { amount: Number(score), currency },
    units: currency === null ? Number(score) : null,
  }))
  return { ...answer, places }
}
