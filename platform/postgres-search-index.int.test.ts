import { openTestDatabase } from '../test/support/postgres.ts'
import { storedCheckpoints } from '../test/support/stored-checkpoints.ts'
import { createPostgresSearchIndex } from './postgres-search-index.ts'
import { describeSearchGenerations } from './search-generations.contract.ts'
import { describeSearchIndex } from './search-index.contract.ts'

describeSearchIndex('postgres', async () => {
  const { database, drop } = await openTestDatabase()
  const schemas = { products: 'product_search', orders: 'order_search' }
  return { index: createPostgresSearchIndex({ database, schemas }), close: drop }
})

describeSearchGenerations('postgres', async () => {
  const { database, drop } = await openTestDatabase()
  const schemas = { products: 'product_search', orders: 'order_search' }
  const create = () => createPostgresSearchIndex({ database, schemas })
  return {
    database,
    index: create(),
    other: () => ({ index: create(), lose: () => undefined }),
    checkpoints: (_of, name) => storedCheckpoints(database, name),
    close: drop,
  }
})
