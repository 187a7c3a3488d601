import type { Buildable } from './checkpointed-store.ts'
import { fenceHead, fenceValues, moveCheckpoint } from './checkpoints.ts'
import type { Clock } from './clock.ts'
import type { Database, Statement } from './database.ts'
import {
  bucketOf,
  type LeaderboardBatch,
  type LeaderboardEntry,
  type LeaderboardStore,
  oldestHour,
  type ScoreChange,
  scoreChanges,
} from './leaderboard-store.ts'
import { createPostgresLeaderboardScan } from './postgres-leaderboard-scan.ts'
import { createReadModelGenerations } from './read-model-generations.ts'
import { createReadModelTables } from './read-model-tables.ts'
import { onceAs, sqlBeside } from './schema-sql.ts'

/** Rows of expired hours that go at once, so that pruning never holds up a batch for long. */
const pruneLimit = 5_000

const sentences = (schema: string) => {
  const members = (first: number) =>
    `insert into ${schema}.scores as s (span, bucket, board, measure, currency, key, score)
     select * from unnest($${first}::text[], $${first + 1}::timestamptz[], $${first + 2}::text[], $${first + 3}::text[],
       $${first + 4}::text[], $${first + 5}::text[], $${first + 6}::bigint[])`
  const add = 'on conflict (span, bucket, board, measure, currency, key) do update set score = s.score + excluded.score'
  const place = 'span = $1 and bucket = $2 and board = $3'
  const statement = (name: string, text: string): Statement => ({ name: `${schema}.${name}`, text })
  return {
    add: statement('add', `${members(1)} ${add}`),
    addFenced: statement(
      'add_fenced',
      `${fenceHead}, added as (${members(7)} where exists (select from fence) ${add}) select from fence`,
    ),
    prune: statement(
      'prune',
      `delete from ${schema}.scores where ctid = any (array(
         select ctid from ${schema}.scores where span = 'hour' and bucket < $1 limit ${pruneLimit})) returning 1`,
    ),
    // score > 0 is written out so that the partial index serves it.
    top: statement(
      'top',
      `with ${onceAs('scores', `${schema}.scores`)}
       select t.key, t.score, u.score as units, r.score as revenue
       from (select key, score from scores
             where ${place} and measure = $4 and currency = $5 and score > 0
             order by score desc, key limit $6) t
       left join scores u on u.span = $1 and u.bucket = $2 and u.board = $3
         and u.measure = 'units' and u.currency = '' and u.key = t.key
       left join scores r on r.span = $1 and r.bucket = $2 and r.board = $3
         and r.measure = 'revenue' and r.currency = $7 and r.key = t.key
       order by t.score desc, t.key`,
    ),
    currencies: statement(
      'currencies',
      `select key as currency from ${schema}.scores
       where ${place} and measure = 'currencies' and currency = '' and score > 0 order by score desc, key`,
    ),
  }
}

const columns = (changes: readonly ScoreChange[]): unknown[] => [
  changes.map((change) => change.window),
  changes.map((change) => change.bucket),
  changes.map((change) => change.board),
  changes.map((change) => change.measure),
  changes.map((change) => change.currency),
  changes.map((change) => change.key),
  changes.map((change) => change.change),
]

/**
 * The leaderboards as a table of PostgreSQL. A batch is one statement: checkpoint and scores commit together.
 *
 * @param options.schema the projection's schema: `leaderboards`
 */
export const createPostgresLeaderboardStore = (options: {
  readonly database: Database
  readonly schema: string
  readonly clock: Clock
  /** Default: the live one. */
  readonly generation?: number
}): LeaderboardStore & Buildable => {
  const { database, schema: name, clock, generation } = options
  const tables = createReadModelTables({
    database,
    name,
    generation,
    create: async (transaction, schema) =>
      void (await transaction.query(sqlBeside(import.meta.url, 'postgres-leaderboard-store.sql', schema))),
  })
  const { schema } = tables
  const sql = sentences(schema)
  let pruned = ''

  const prune = async (now: Date): Promise<void> => {
    const kept = oldestHour(now)
    if (kept === pruned) return
    const gone = await database.execute(sql.prune, [kept])
    if (gone.length < pruneLimit) pruned = kept
  }

  const applyBatch = async (batch: LeaderboardBatch): Promise<'applied' | 'fenced'> => {
    const move = { ...batch, consumer: tables.consumerOf(batch.consumer) }
    const now = clock.now()
    await prune(now)
    const changes = columns([...scoreChanges(batch.deltas, now), ...(batch.corrections ?? [])])
    const { record } = batch
    if (!record) {
      const rows = await database.execute(sql.addFenced, [...fenceValues(move, tables.of()), ...changes])
      return rows.length > 0 ? 'applied' : 'fenced'
    }
    return database.transaction(async (transaction) => {
      if (!(await moveCheckpoint(transaction, move, tables.of()))) return 'fenced'
      await record(transaction)
      await transaction.execute(sql.add, changes)
      return 'applied'
    })
  }

  return {
    ...tables,
    generations: createReadModelGenerations(database, name, (at) =>
      createPostgresLeaderboardStore({ ...options, generation: at }),
    ),
    applyBatch,
    top: async (query) => {
      const rows = await database.execute<{ key: string; score: bigint; units: bigint | null; revenue: bigint | null }>(
        sql.top,
        [
          query.window,
          bucketOf(query.window, query.at),
          query.board,
          query.by,
          query.by === 'revenue' ? query.currency : '',
          query.limit,
          query.currency ?? '',
        ],
      )
      return rows.map(
        ({ key, score, units, revenue }, index): LeaderboardEntry => ({
          rank: index + 1,
          key,
          score,
          units: units ?? 0n,
          revenue: query.currency === undefined ? null : (revenue ?? 0n),
        }),
      )
    },
    currencies: async (query) => {
      const rows = await database.execute<{ currency: string }>(sql.currencies, [
        query.window,
        bucketOf(query.window, query.at),
        query.board,
      ])
      return rows.map((row) => row.currency)
    },
    scan: createPostgresLeaderboardScan(database, tables),
  }
}
