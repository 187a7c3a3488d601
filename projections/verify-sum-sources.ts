import type { Database, Queryable } from '../platform/database.ts'
import { ReadModelAbsent } from '../platform/failures.ts'
import type { BoardPlace, LeaderboardStore, ScoreChange } from '../platform/leaderboard-store.ts'
import { inSnapshot, pagesOf, schemaExists } from '../platform/snapshot.ts'
import { ReadModelReplaced, readStanding, type Standing } from '../platform/standing.ts'
import { scoreRow } from './verify-leaderboards.ts'
import { reachOf } from './verify-log.ts'
import type { WrongSum } from './verify-sum-partings.ts'
import type { SumSource } from './verify-sums.ts'

const fields = [
  'orders',
  'units',
  'revenue',
  'cancelled_orders',
  'cancelled_units',
  'cancelled_revenue',
  'refunds',
  'refunded',
] as const

type SalesRow = { readonly day: string; readonly currency: string } & Record<(typeof fields)[number], bigint>

/** What a row lacks, field by field; what events add meanwhile is left alone. */
const lacking = ({ expected, found }: WrongSum, field: string): bigint =>
  (expected?.[field] ?? 0n) - (found?.[field] ?? 0n)

const correctDay = async (transaction: Queryable, schema: string, row: string, wrong: WrongSum): Promise<void> => {
  const key = row.split(' ')
  await transaction.query(
    `insert into ${schema}.days as d (day, currency, ${fields.join(', ')})
     values ($1::date, $2, ${fields.map((_, at) => `$${at + 3}::bigint`).join(', ')})
     on conflict (day, currency) do update set ${fields.map((field) => `${field} = d.${field} + excluded.${field}`).join(', ')}`,
    [...key, ...fields.map((field) => lacking(wrong, field))],
  )
  if (wrong.expected) return
  const empty = fields.map((field) => `${field} = 0`).join(' and ')
  await transaction.query(`delete from ${schema}.days where day = $1::date and currency = $2 and ${empty}`, key)
}

/** Sales per day, in PostgreSQL. */
export const createSalesSource = (deps: {
  readonly database: Database
  readonly schema: string
  readonly consumer: string
  readonly partitionOf: ((stream: string) => number) | undefined
}): SumSource => {
  const { database, schema, consumer, partitionOf } = deps
  return {
    standing: () => readStanding(database, consumer),
    scan: (visit) =>
      inSnapshot(database, async (transaction) => {
        if (!(await schemaExists(transaction, schema))) throw new ReadModelAbsent(`${schema} has not been built yet`)
        const standing = await readStanding(transaction, consumer)
        const text = `select day::text as day, currency, ${fields.join(', ')} from ${schema}.days`
        for await (const page of pagesOf<SalesRow>(transaction, text)) {
          const rows = page.map(({ day, currency, ...sums }) => ({ row: `${day} ${currency}`, sums }))
          await visit({ ...standing, rows, whole: [] })
        }
        await visit({ ...standing, rows: [], whole: 'rest' })
      }),
    correct: (wrong) =>
      database.transaction(async (transaction) => {
        await transaction.query('select from platform.checkpoints where consumer = $1 order by partition for update', [
          consumer,
        ])
        const standing = await readStanding(transaction, consumer)
        const { least } = reachOf(standing, partitionOf)
        const rows = [...wrong].sort(([a], [b]) => (a < b ? -1 : 1))
        // Begun anew or replaced since it was verified: what it lacks now is something else.
        if (rows.some(([, { reach, generation }]) => least < reach.least || generation !== standing.generation))
          throw new ReadModelReplaced(consumer)
        for (const [row, one] of rows) await correctDay(transaction, schema, row, one)
      }),
  }
}

const changeOf = (row: string, wrong: WrongSum): ScoreChange => {
  const bar = row.indexOf('|')
  const [board, measure, currency, window, bucket] = row.slice(0, bar).split(' ')
  const place = { board, measure, currency: currency === '-' ? '' : currency, window, bucket } as BoardPlace
  return { ...place, key: row.slice(bar + 1), change: lacking(wrong, 'score') }
}

const boardOf = (place: BoardPlace): string => scoreRow(place, '').slice(0, -1)

/** Scores that are corrected at once. */
const together = 1_000
/** A busy writer fences a correction; each time it has gone on. */
const mostTries = 500

/**
 * The leaderboards, wherever they are.
 *
 * @param deps.reading asked by queries
 * @param deps.writing prepared for the present log before it is written to
 */
export const createLeaderboardSource = (deps: {
  readonly reading: Pick<LeaderboardStore, 'scan'>
  readonly writing: Pick<LeaderboardStore, 'prepare' | 'checkpoint' | 'applyBatch'>
  readonly log: { identity(): Promise<string> }
  readonly consumer: string
}): SumSource => {
  const { reading, writing, log, consumer } = deps

  const correctSome = async (corrections: readonly ScoreChange[]): Promise<void> => {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const { position } = await writing.checkpoint(consumer, 0)
      const batch = { consumer, partition: 0, from: position, to: position, deltas: [], corrections }
      if ((await writing.applyBatch(batch)) === 'applied') return
    }
    throw new ReadModelReplaced(consumer)
  }

  return {
    standing: async () => {
      // The first portion tells; the rest need not be read for it.
      const enough = new Error('enough')
      let standing: Standing = { checkpoints: [], skipped: [] }
      try {
        await reading.scan(consumer, async ({ checkpoints, skipped }) => {
          standing = { checkpoints, skipped }
          throw enough
        })
      } catch (error) {
        if (error !== enough) throw error
      }
      return standing
    },
    scan: (visit) =>
      reading.scan(consumer, ({ checkpoints, skipped, scores, whole }) =>
        visit({
          checkpoints,
          skipped,
          rows: scores.map(({ key, score, ...place }) => ({ row: scoreRow(place, key), sums: { score } })),
          whole: whole === 'rest' ? whole : whole.map(boardOf),
        }),
      ),
    // Whatever replaces the boards from here on makes the correction find itself fenced.
    prepare: async () => writing.prepare(await log.identity()),
    correct: async (wrong) => {
      const corrections = [...wrong]
        .map(([row, one]) => changeOf(row, one))
        .sort((a, b) => (scoreRow(a, a.key) < scoreRow(b, b.key) ? -1 : 1))
      for (let from = 0; from < corrections.length; from += together)
        await correctSome(corrections.slice(from, from + together))
    },
  }
}
