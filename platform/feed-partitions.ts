import type { Queryable } from './database.ts'
import { StartupError } from './failures.ts'

/** How many partitions the consumers of this log stand in; undefined while it is consumed as a whole. */
export const readFeedPartitions = async (database: Queryable): Promise<number | undefined> => {
  const [row] = await database.query<{ count: number }>('select count from platform.feed_partitions')
  return row?.count
}

/**
 * Fixes the number of partitions for good, the first time that the log is carried by partitions.
 *
 * @throws StartupError when it was fixed at another number before: the checkpoints of consumers stand in that
 */
export const fixFeedPartitions = async (database: Queryable, count: number): Promise<void> => {
  await database.query('insert into platform.feed_partitions (count) values ($1) on conflict do nothing', [count])
  const fixed = await readFeedPartitions(database)
  if (fixed !== count)
    throw new StartupError(
      `KAFKA_PARTITIONS is ${count}, but the consumers of this log stand in ${fixed} partitions, which cannot be changed: set it to ${fixed}.`,
    )
}
