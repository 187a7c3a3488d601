import type { ConsumeOptions, EventFeed, FeedBatch } from './event-feed.ts'
import type { Partitioning } from './partitioning.ts'

const least = (positions: Iterable<bigint>): bigint =>
  [...positions].reduce((lowest, position) => (position < lowest ? position : lowest))

/**
 * The log feed for consumers that stand in partitions, because the log was once carried by Kafka: one member reads the
 * log and hands it out partition by partition, so that Kafka can be left and taken up again at any time.
 */
export const partitionLogFeed = (log: EventFeed, { partitions, of }: Partitioning): EventFeed => {
  async function* consume(group: string, { onAssigned, ...options }: ConsumeOptions): AsyncGenerator<FeedBatch> {
    const positions = new Map<number, bigint>()
    const checkpoint = async (): Promise<bigint> => {
      onAssigned?.(partitions)
      for (const partition of partitions) positions.set(partition, await options.checkpoint(partition))
      return least(positions.values())
    }
    for await (const { events, position, head } of log.consume(group, { ...options, checkpoint }))
      for (const partition of partitions) {
        const from = positions.get(partition) ?? 0n
        if (position <= from) continue
        positions.set(partition, position)
        const own = events.filter(({ stored }) => stored.position > from && of(stored.stream) === partition)
        yield { partition, events: own, position, head }
      }
  }
  return { partitions, consume, follow: log.follow, head: log.head }
}
