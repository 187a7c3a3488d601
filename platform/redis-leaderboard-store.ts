import type { CheckpointReader } from './checkpointed-store.ts'
import type { Clock } from './clock.ts'
import type { Database } from './database.ts'
import { ReadModelAbsent } from './failures.ts'
import {
  type LeaderboardBatch,
  type LeaderboardEntry,
  type LeaderboardStore,
  oldestHour,
  scoreChanges,
} from './leaderboard-store.ts'
import type { Logger } from './logging.ts'
import { isSealed } from './partitioning.ts'
import type { RedisConnection } from './redis-connection.ts'
import { boardEdits } from './redis-leaderboard-batch.ts'
import { createRedisEpochs } from './redis-leaderboard-epoch.ts'
import { boardNames, redisLeaderboardKeys } from './redis-leaderboard-keys.ts'
import { applyScript, pruneScript, topScript } from './redis-leaderboard-scripts.ts'

type Outcome =
  | readonly ['applied' | 'fenced']
  | readonly ['damaged', board: string]
  | readonly ['exceeds', board: string, member: string]

type Found =
  | readonly ['absent' | 'building']
  | readonly ['epoch', string]
  | readonly ['found', string[], (string | null)[], (string | null)[]]

/** A score would reach 2^53, below which a double is exact: the batch was refused whole. */
export class ScoreBeyondBound extends Error {
  readonly code = 'score-beyond-bound'
  constructor(board: string, member: string) {
    super(`${member} in ${board} would reach 2^53 (9,007,199,254,740,992), below which Redis counts exactly`)
    this.name = 'ScoreBeyondBound'
  }
}

/** Boards of hours that are removed at once. */
const pruneLimit = 500

/** Scores are kept negated. */
const scoreOf = (text: string | null | undefined): bigint => (text ? -BigInt(Number(text)) : 0n)

/**
 * The leaderboards in sorted sets of Redis. A batch is one script: scores, checkpoint and the memory of parked events
 * move together or not at all. What Redis loses is noticed and built again from the log.
 *
 * @param options.redis its commands, in the order in which they are sent; queries should have one of their own
 * @param options.database keeps the epoch and the book-keeping of batches
 * @param options.partitions of the feed: when all have come to where the log ended, a board that was lost is shown again
 * @param options.space begins every key: `orderlog:{leaderboards:1}`, where 1 is the generation
 */
export const createRedisLeaderboardStore = (options: {
  readonly redis: RedisConnection
  readonly database: Database
  readonly space: string
  readonly partitions?: readonly number[]
  readonly clock: Clock
  readonly logger: Logger
}): LeaderboardStore & CheckpointReader & Required<Pick<LeaderboardStore, 'intact' | 'skipped'>> => {
  const { redis, database, space, clock, logger, partitions = [0] } = options
  const keys = redisLeaderboardKeys(space)
  const epochs = createRedisEpochs({ redis, database, keys, logger })
  let pruned = ''

  const prune = async (now: Date): Promise<void> => {
    const kept = oldestHour(now)
    if (kept === pruned) return
    const { epoch } = epochs.present()
    const { counts, hours, skipped, board } = keys.of(epoch)
    const over = await redis.run((client) =>
      client.zrangebyscore(hours, '-inf', `(${Date.parse(kept) / 1_000}`, 'LIMIT', 0, pruneLimit),
    )
    if (over.length > 0)
      await redis.evaluate(pruneScript, [keys.meta, counts, hours, skipped, ...over.map(board)], [epoch, ...over])
    if (over.length < pruneLimit) pruned = kept
  }

  const write = async (batch: LeaderboardBatch, now: Date): Promise<'applied' | 'fenced'> => {
    const { epoch } = epochs.present()
    const { counts, hours, skipped, board } = keys.of(epoch)
    const edits = boardEdits(scoreChanges(batch.deltas, now))
    const outcome = await redis.evaluate<Outcome>(
      applyScript,
      [keys.meta, counts, hours, skipped, ...edits.map(({ name }) => board(name))],
      [
        epoch,
        batch.consumer,
        batch.partition,
        String(batch.from),
        String(batch.to),
        now.toISOString(),
        JSON.stringify((batch.skipped ?? []).map(String)),
        JSON.stringify((batch.late ?? []).map(String)),
        JSON.stringify(partitions),
        ...edits.flatMap(({ name, hour, changes }) => [name, hour, JSON.stringify(changes)]),
      ],
    )
    switch (outcome[0]) {
      case 'exceeds':
        throw new ScoreBeyondBound(outcome[1], outcome[2])
      case 'damaged':
        logger.warn({ leaderboards: space, damaged: outcome[1] }, 'somebody else has changed the leaderboards in Redis')
        return 'fenced'
      default:
        return outcome[0]
    }
  }

  const checkpoint: LeaderboardStore['checkpoint'] = async (consumer, partition) => {
    const { epoch, logIdentity } = epochs.present()
    const [found, log, position] = await redis.run((client) =>
      client.hmget(keys.meta, 'epoch', 'log', `position ${consumer} ${partition}`),
    )
    if (found !== epoch) return { position: 0n, logIdentity }
    return { position: BigInt(position ?? 0), logIdentity: log ?? logIdentity }
  }

  const applyBatch: LeaderboardStore['applyBatch'] = async (batch) => {
    const now = clock.now()
    await prune(now)
    const { record, late } = batch
    if (!record) return write(batch, now)
    if (late) {
      // The book-keeping forgets the events: were it first, a crash before the effect would lose them.
      const outcome = await write(batch, now)
      if (outcome === 'applied') await database.transaction(record)
      return outcome
    }
    // The book-keeping parks events: were it last, a crash after the effect would lose them.
    if ((await checkpoint(batch.consumer, batch.partition)).position !== batch.from) return 'fenced'
    await database.transaction(record)
    return write(batch, now)
  }

  let seen = ''
  /** Asks for one board; who only asks learns the epoch from the answer. */
  const ask = async (query: Parameters<LeaderboardStore['top']>[0], boards: readonly string[]) => {
    for (let tries = 0; tries < 5; tries += 1) {
      const { board } = keys.of(seen)
      const found = await redis.evaluate<Found>(
        topScript,
        [keys.meta, ...boards.map(board)],
        [seen, query.limit, query.currency === undefined ? '0' : '1'],
      )
      if (found[0] === 'found') return found
      if (found[0] === 'absent') throw new ReadModelAbsent('the leaderboards are not in Redis')
      if (found[0] === 'building') throw new ReadModelAbsent('the leaderboards are being rebuilt')
      seen = found[1] ?? ''
    }
    throw new ReadModelAbsent('the leaderboards are emptied over and over')
  }

  const ranked = async (query: Parameters<LeaderboardStore['top']>[0], board: string): Promise<LeaderboardEntry[]> => {
    const names = boardNames(query)
    const [, top, units, revenue] = await ask(query, [board, names.units, names.revenue(query.currency ?? '')])
    return Array.from({ length: top.length / 2 }, (_, index) => ({
      rank: index + 1,
      key: top[2 * index] ?? '',
      score: scoreOf(top[2 * index + 1]),
      units: scoreOf(units[index]),
      revenue: query.currency === undefined ? null : scoreOf(revenue[index]),
    }))
  }

  return {
    prepare: (logIdentity, anew) => epochs.prepare(logIdentity, anew),
    checkpoint,
    applyBatch,
    reset: (_consumer, record) => epochs.reset(record),
    intact: epochs.intact,
    skipped: async (consumer) => {
      const { skipped } = keys.of(epochs.present().epoch)
      const fields = await redis.run((client) => client.hkeys(skipped))
      const prefix = `${consumer} `
      return fields.flatMap((field) => (field.startsWith(prefix) ? [BigInt(field.slice(prefix.length))] : []))
    },
    checkpoints: async (consumer) => {
      const fields = await redis.run((client) => client.hgetall(keys.meta))
      if (fields.epoch === undefined) return []
      const prefix = `position ${consumer} `
      return Object.entries(fields)
        .flatMap(([field, text]) => {
          const position = field.startsWith(prefix) ? BigInt(text) : undefined
          // Sealed: the partitions have gone on from there.
          if (position === undefined || isSealed(position)) return []
          const partition = Number(field.slice(prefix.length))
          return [{ partition, position, updatedAt: fields[`moved ${consumer} ${partition}`] ?? '' }]
        })
        .sort((a, b) => a.partition - b.partition)
    },
    top: (query) => {
      const names = boardNames(query)
      return ranked(query, query.by === 'revenue' ? names.revenue(query.currency) : names.units)
    },
    currencies: async (query) => {
      const entries = await ranked({ ...query, by: 'units', limit: everyCurrency }, boardNames(query).currencies)
      return entries.map((entry) => entry.key)
    },
  }
}

/** ISO 4217 has fewer. */
const everyCurrency = 1_000
