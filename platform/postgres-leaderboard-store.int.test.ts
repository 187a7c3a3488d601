import { randomUUID } from 'node:crypto'
import { openTestDatabase } from '../test/support/postgres.ts'
import { storedCheckpoints } from '../test/support/stored-checkpoints.ts'
import { describeLeaderboardGenerations } from './leaderboard-generations.contract.ts'
import { describeLeaderboardStore } from './leaderboard-store.contract.ts'
import { createPostgresLeaderboardStore } from './postgres-leaderboard-store.ts'

describeLeaderboardStore('postgres', async ({ clock }) => {
  const { database, drop } = await openTestDatabase()
  const store = createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock })
  const identity = randomUUID()
  await Promise.all([store.prepare(identity), store.prepare(identity)])
  return { store, close: drop }
})

describeLeaderboardGenerations('postgres', async (clock) => {
  const { database, drop } = await openTestDatabase()
  const create = () => createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock })
  return {
    database,
    store: create(),
    other: () => ({ store: create(), lose: () => undefined }),
    checkpoints: () => storedCheckpoints(database, 'leaderboards'),
    close: drop,
  }
})
