import type { Admin } from 'kafkajs'
import { StartupError } from './failures.ts'
import { kafkaUnavailable } from './kafka-client.ts'

export interface TopicOptions {
  readonly partitions: number
  /** -1: the broker's default. */
  readonly replicationFactor: number
  /** How long Kafka keeps an event at least, milliseconds; consumers further behind read the store instead. */
  readonly retentionMs: number
}

/** More than an append may carry, in its envelope. */
const maxMessageBytes = 4 * 1_048_576

/** The topic of a log: another log, also one that is restored from elsewhere, has another. */
export const topicOf = (namespace: string, logIdentity: string): string => `${namespace}.log.${logIdentity}`

/**
 * Makes the topic when there is none.
 *
 * @throws StartupError when it has another number of partitions; EngineUnavailable
 */
export const ensureTopic = async (admin: Admin, topic: string, options: TopicOptions): Promise<void> => {
  const { partitions, replicationFactor, retentionMs } = options
  let actual: number
  try {
    const known = await admin.listTopics()
    if (!known.includes(topic))
      await admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic,
            numPartitions: partitions,
            replicationFactor,
            configEntries: [
              { name: 'cleanup.policy', value: 'delete' },
              { name: 'retention.ms', value: String(retentionMs) },
              { name: 'max.message.bytes', value: String(maxMessageBytes) },
            ],
          },
        ],
      })
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    actual = topics[0]?.partitions.length ?? 0
  } catch (error) {
    throw kafkaUnavailable(error)
  }
  if (actual !== partitions)
    throw new StartupError(
      `KAFKA_PARTITIONS is ${partitions}, but the topic ${topic} has ${actual} partitions: orders would change partition; set it to ${actual}, or delete the topic to have it made again.`,
    )
}

/** Where a partition of the topic begins and ends: offsets of its first message and of its next one. */
export interface Extent {
  readonly low: bigint
  readonly high: bigint
}

/** @returns by Kafka's number of the partition. @throws EngineUnavailable, also when there is no such topic */
export const topicExtents = async (admin: Admin, topic: string): Promise<ReadonlyMap<number, Extent>> => {
  try {
    const offsets = await admin.fetchTopicOffsets(topic)
    return new Map(
      offsets.map(({ partition, low, high }) => [partition, { low: BigInt(low), high: BigInt(high) }] as const),
    )
  } catch (error) {
    throw kafkaUnavailable(error)
  }
}
