import { openTestDatabase } from '../test/support/postgres.ts'
import { createPostgresSearchIndex } from './postgres-search-index.ts'
import { describeSearchIndex } from './search-index.contract.ts'

describeSearchIndex('postgres', async () => {
  const { database, drop } = await openTestDatabase()
  const schemas = { products: 'product_search', orders: 'order_search' }
  return { index: createPostgresSearchIndex({ database, schemas }), close: drop }
})
