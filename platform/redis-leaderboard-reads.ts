import type { CheckpointReader } from './checkpointed-store.ts'
import { ReadModelAbsent } from './failures.ts'
import type { LeaderboardEntry, LeaderboardStore } from './leaderboard-store.ts'
import { isSealed } from './partitioning.ts'
import type { RedisConnection } from './redis-connection.ts'
import { boardNames, type RedisLeaderboardKeys } from './redis-leaderboard-keys.ts'
import { scanRedisBoards } from './redis-leaderboard-scan.ts'
import { topScript } from './redis-leaderboard-scripts.ts'

type Found =
  | readonly ['absent' | 'building']
  | readonly ['epoch', string]
  | readonly ['moved', generation: string]
  | readonly ['found', string[], (string | null)[], (string | null)[]]

/** Which generation is asked. */
export interface Whereabouts {
  /** Whether it is the live one that is wanted, whichever that is. */
  readonly live: boolean
  keys(): Promise<RedisLeaderboardKeys>
  /** Told by a generation which one is live in its place. */
  follow(generation: number): void
  /** Looks again, after one that is not there; false when there is no other to ask. */
  lookAgain(asked: RedisLeaderboardKeys): Promise<boolean>
}

/** Swaps and new epochs that one question follows. */
const mostTries = 8

/** ISO 4217 has fewer. */
const everyCurrency = 1_000

/** Scores are kept negated. */
const scoreOf = (text: string | null | undefined): bigint => (text ? -BigInt(Number(text)) : 0n)

/** Asks for boards and checkpoints; who only asks learns generation and epoch from the answers. */
export const createRedisLeaderboardReads = (
  redis: RedisConnection,
  whereabouts: Whereabouts,
): Pick<LeaderboardStore, 'top' | 'currencies' | 'scan'> & CheckpointReader => {
  /** Epochs, by generation. */
  const epochs = new Map<string, string>()

  const ask = async (query: Parameters<LeaderboardStore['top']>[0], boards: readonly string[]) => {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const keys = await whereabouts.keys()
      const epoch = epochs.get(keys.meta) ?? ''
      const { board } = keys.of(epoch)
      const found = await redis.evaluate<Found>(
        topScript,
        [keys.meta, ...boards.map(board)],
        [epoch, query.limit, query.currency === undefined ? '0' : '1', whereabouts.live ? '1' : '0'],
      )
      switch (found[0]) {
        case 'found':
          return found
        case 'epoch':
          epochs.set(keys.meta, found[1])
          continue
        case 'moved':
          whereabouts.follow(Number(found[1]))
          continue
      }
      if (await whereabouts.lookAgain(keys)) continue
      throw new ReadModelAbsent(
        found[0] === 'absent' ? 'the leaderboards are not in Redis' : 'the leaderboards are being rebuilt',
      )
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

  /** The generation that is asked, and what it knows of itself; undefined when it is not there. */
  const locate = async (): Promise<{ keys: RedisLeaderboardKeys; fields: Record<string, string> } | undefined> => {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const keys = await whereabouts.keys()
      const fields = await redis.run((client) => client.hgetall(keys.meta))
      const whole = fields.epoch !== undefined && !(whereabouts.live && fields.state === 'building')
      if (whereabouts.live && whole && fields.state === 'kept') whereabouts.follow(Number(fields.next))
      else if (whole) return { keys, fields }
      else if (!(await whereabouts.lookAgain(keys))) return undefined
    }
    return undefined
  }

  return {
    scan: async (consumer, visit) => {
      const { keys, fields } = (await locate()) ?? {}
      if (!keys || fields?.epoch === undefined) throw new ReadModelAbsent('the leaderboards are not in Redis')
      await scanRedisBoards(redis, keys.of(fields.epoch), { meta: keys.meta, epoch: fields.epoch }, consumer, visit)
    },
    checkpoints: async (consumer) => {
      const fields: Record<string, string> = (await locate())?.fields ?? {}
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
