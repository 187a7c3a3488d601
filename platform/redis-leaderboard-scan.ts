import type { BoardPlace, ScorePortion } from './leaderboard-store.ts'
import { defineScript, type RedisConnection } from './redis-connection.ts'
import type { EpochKeys } from './redis-leaderboard-keys.ts'
import { ReadModelReplaced, type Standing } from './standing.ts'

/**
 * Where the consumers stand, and boards whole; all of one moment.
 *
 * KEYS meta, counts, skipped, then boards
 * ARGV epoch
 */
const scanScript = defineScript(`
local meta = redis.call('HGETALL', KEYS[1])
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'replaced'} end
local boards = {}
for i = 4, #KEYS do boards[#boards + 1] = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES') end
return {'found', meta, redis.call('HKEYS', KEYS[3]), #KEYS == 3 and redis.call('HGETALL', KEYS[2]) or {}, boards}
`)

type Found = readonly ['replaced'] | readonly ['found', string[], string[], string[], string[][]]

/** Members that are read at once, and boards: Redis does nothing else meanwhile. */
const membersAtOnce = 5_000
const boardsAtOnce = 200

const pairsOf = (flat: readonly string[]): [string, string][] =>
  Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at] ?? '', flat[2 * at + 1] ?? ''])

const placeOf = (name: string): BoardPlace => {
  const [board, measure, currency, window, ...bucket] = name.split(':')
  return { board, measure, currency, window, bucket: bucket.join(':') } as BoardPlace
}

const standingOf = (consumer: string, meta: readonly string[], skipped: readonly string[]): Standing => {
  const after = (prefix: string, text: string) => (text.startsWith(prefix) ? [text.slice(prefix.length)] : [])
  return {
    checkpoints: pairsOf(meta).flatMap(([field, text]) =>
      after(`position ${consumer} `, field).map((at) => ({ partition: Number(at), position: BigInt(text) })),
    ),
    skipped: skipped.flatMap((field) => after(`${consumer} `, field).map(BigInt)),
  }
}

/**
 * Shows every board of an epoch whole, many small ones at once.
 *
 * @throws ReadModelReplaced when the epoch ends meanwhile
 */
export const scanRedisBoards = async (
  redis: RedisConnection,
  { counts, skipped, board }: EpochKeys,
  { meta, epoch }: { readonly meta: string; readonly epoch: string },
  consumer: string,
  visit: (portion: ScorePortion) => Promise<void>,
): Promise<void> => {
  const look = async (names: readonly string[]) => {
    const found = await redis.evaluate<Found>(scanScript, [meta, counts, skipped, ...names.map(board)], [epoch])
    if (found[0] === 'replaced') throw new ReadModelReplaced(consumer)
    const [, fields, gone, sizes, boards] = found
    return { standing: standingOf(consumer, fields, gone), sizes: new Map(pairsOf(sizes)), boards }
  }
  const show = async (names: readonly string[]): Promise<void> => {
    const { standing, boards } = await look(names)
    const places = names.map(placeOf)
    const scores: ScorePortion['scores'] = places.flatMap((place, at) =>
      pairsOf(boards[at] ?? []).map(([key, score]) => ({ ...place, key, score: -BigInt(Number(score)) })),
    )
    await visit({ ...standing, scores, whole: places })
  }

  const shown = new Set<string>()
  for (;;) {
    const { standing, sizes } = await look([])
    const left = [...sizes].filter(([name]) => !shown.has(name))
    // Nothing is left at the very moment of this standing: what is not shown by now is not there.
    if (left.length === 0) return visit({ ...standing, scores: [], whole: 'rest' })
    for (let next = 0; next < left.length; ) {
      const names: string[] = []
      let members = 0
      for (; next < left.length && names.length < boardsAtOnce; next += 1) {
        const [name, size] = left[next] ?? ['', '0']
        if (names.length > 0 && members + Number(size) > membersAtOnce) break
        names.push(name)
        members += Number(size)
      }
      await show(names)
      for (const name of names) shown.add(name)
    }
  }
}
