import { leaderboards as leaderboardsProjection } from '../projections/leaderboards.ts'
import { orderSearch } from '../projections/order-search.ts'
import { productSearch } from '../projections/product-search.ts'
import type { Projection } from '../projections/projection.ts'
import { postgresProjections } from '../projections/registry.ts'
import type { Leaderboards } from './compose-leaderboards.ts'
import type { Search } from './compose-search-index.ts'
import type { Database } from './database.ts'
import type { PersonalDataVault } from './personal-data.ts'

/** Every projection on the engine of its read model. */
export const composeProjections = (
  database: Database,
  engines: { readonly leaderboards: Leaderboards; readonly searchIndex: Search },
  vault: PersonalDataVault,
  which: 'writing' | 'building',
): readonly Projection[] => {
  const { [which]: boards } = engines.leaderboards
  const { [which]: search } = engines.searchIndex
  return [
    ...postgresProjections({ database, vault, forgetSearch: search.forget }),
    leaderboardsProjection({ store: boards }),
    productSearch({ index: search.products }),
    orderSearch({ index: search.orders, vault }),
  ]
}
