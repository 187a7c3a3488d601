import type { Database } from './database.ts'
import { ReadModelAbsent } from './failures.ts'
import type { LeaderboardStore, ScorePortion } from './leaderboard-store.ts'
import type { ReadModelTables } from './read-model-tables.ts'
import { inSnapshot, pagesOf, schemaExists } from './snapshot.ts'
import { readStanding } from './standing.ts'

/** Every score of the table, as of one moment. */
export const createPostgresLeaderboardScan =
  (database: Database, tables: Pick<ReadModelTables, 'schema' | 'consumerOf'>): LeaderboardStore['scan'] =>
  (consumer, visit) =>
    inSnapshot(database, async (transaction) => {
      const { schema } = tables
      if (!(await schemaExists(transaction, schema))) throw new ReadModelAbsent(`${schema} has not been built yet`)
      const standing = await readStanding(transaction, tables.consumerOf(consumer))
      const pages = pagesOf<ScorePortion['scores'][number]>(
        transaction,
        `select span as window, to_char(bucket at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as bucket, board,
           measure, currency, key, score from ${schema}.scores`,
      )
      for await (const scores of pages) await visit({ ...standing, scores, whole: [] })
      await visit({ ...standing, scores: [], whole: 'rest' })
    })
