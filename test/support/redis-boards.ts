import type { RedisConnection } from '../../platform/redis-connection.ts'

/** Everything that the boards in Redis show, named as `naiveBoards` names it. */
export const redisBoards = (redis: RedisConnection, space: string): Promise<Map<string, bigint>> =>
  redis.run(async (client) => {
    const epoch = (await client.hget(space, 'epoch')) ?? 'none'
    const shown: [string, bigint][] = []
    for (const name of await client.hkeys(`${space}:${epoch}:counts`)) {
      const [board, measure, currency, window, ...bucket] = name.split(':')
      const members = await client.zrange(`${space}:${epoch}:${name}`, '0', '-1', 'WITHSCORES')
      for (let at = 0; at < members.length; at += 2) {
        const score = -BigInt(Number(members[at + 1]))
        if (score > 0n) shown.push([[board, measure, currency, window, bucket.join(':'), members[at]].join(' '), score])
      }
    }
    return new Map(shown.sort())
  })
