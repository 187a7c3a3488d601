import type { CheckpointedStore, StoreBatch } from './checkpointed-store.ts'
import type { Clock } from './clock.ts'
import type { Queryable } from './database.ts'
import { type LeaderboardBatch, oldestHour, scoreChanges } from './leaderboard-store.ts'
import type { Logger } from './logging.ts'
import type { RedisConnection } from './redis-connection.ts'
import { boardEdits } from './redis-leaderboard-batch.ts'
import type { RedisEpochs } from './redis-leaderboard-epoch.ts'
import type { RedisLeaderboardKeys } from './redis-leaderboard-keys.ts'
import { applyScript, pruneScript } from './redis-leaderboard-scripts.ts'

type Outcome =
  | readonly ['applied' | 'fenced']
  | readonly ['damaged', board: string]
  | readonly ['exceeds', board: string, member: string]

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

export type RedisLeaderboardWrites = Required<
  Omit<CheckpointedStore<LeaderboardBatch>, 'intact' | 'skipped'> &
    Pick<CheckpointedStore<LeaderboardBatch>, 'intact' | 'skipped'>
>

/**
 * Writes one generation of the leaderboards.
 *
 * @param deps.role fences it whenever the generation is in another one
 * @param deps.bookkeeping runs a batch's record; false, and nothing done, when the generation is not ours any more
 */
export const createRedisLeaderboardWrites = (deps: {
  readonly redis: RedisConnection
  readonly keys: RedisLeaderboardKeys
  readonly epochs: RedisEpochs
  readonly role: 'live' | 'building'
  readonly bookkeeping: (record: (transaction: Queryable) => Promise<void>) => Promise<boolean>
  readonly partitions: readonly number[]
  readonly clock: Clock
  readonly logger: Logger
}): RedisLeaderboardWrites => {
  const { redis, keys, epochs, role, bookkeeping, partitions, clock, logger } = deps
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
    const edits = boardEdits([...scoreChanges(batch.deltas, now), ...(batch.corrections ?? [])])
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
        role === 'live' ? '1' : '0',
        ...edits.flatMap(({ name, hour, changes }) => [name, hour, JSON.stringify(changes)]),
      ],
    )
    switch (outcome[0]) {
      case 'exceeds':
        throw new ScoreBeyondBound(outcome[1], outcome[2])
      case 'damaged':
        logger.warn(
          { leaderboards: keys.meta, damaged: outcome[1] },
          'somebody else has changed the leaderboards in Redis',
        )
        return 'fenced'
      default:
        return outcome[0]
    }
  }

  const checkpoint: RedisLeaderboardWrites['checkpoint'] = async (consumer, partition) => {
    const { epoch, logIdentity } = epochs.present()
    const [found, log, position] = await redis.run((client) =>
      client.hmget(keys.meta, 'epoch', 'log', `position ${consumer} ${partition}`),
    )
    if (found !== epoch) return { position: 0n, logIdentity }
    return { position: BigInt(position ?? 0), logIdentity: log ?? logIdentity }
  }

  return {
    prepare: (logIdentity, anew) => epochs.prepare(logIdentity, anew),
    checkpoint,
    applyBatch: async (batch) => {
      const now = clock.now()
      await prune(now)
      const { record, late } = batch
      if (!record) return write(batch, now)
      if (late) {
        // The book-keeping forgets the events: were it first, a crash before the effect would lose them.
        const outcome = await write(batch, now)
        return outcome === 'applied' && !(await bookkeeping(record)) ? 'fenced' : outcome
      }
      // The book-keeping parks events: were it last, a crash after the effect would lose them.
      if ((await checkpoint(batch.consumer, batch.partition)).position !== batch.from) return 'fenced'
      return (await bookkeeping(record)) ? write(batch, now) : 'fenced'
    },
    reset: (_consumer, record: StoreBatch['record']) => epochs.reset(record),
    intact: epochs.intact,
    skipped: async (consumer) => {
      const { skipped } = keys.of(epochs.present().epoch)
      const fields = await redis.run((client) => client.hkeys(skipped))
      const prefix = `${consumer} `
      return fields.flatMap((field) => (field.startsWith(prefix) ? [BigInt(field.slice(prefix.length))] : []))
    },
  }
}
