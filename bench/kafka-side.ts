import { randomUUID } from 'node:crypto'
import type { Admin } from 'kafkajs'
import { createKafka } from '../platform/kafka-client.ts'
import { createKafkaRelay, type KafkaRelayDependencies } from '../platform/kafka-relay.ts'
import { ensureTopic, topicOf } from '../platform/kafka-topic.ts'
import { openLeases } from '../platform/leases.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { Ours } from './ours.ts'

export const partitions = 6
const topicOptions = { partitions, replicationFactor: -1, retentionMs: 3_600_000 }

/** Why no row of Kafka can be run; undefined when they can. */
export const withoutKafka = process.env.KAFKA_BROKERS ? undefined : 'KAFKA_BROKERS is unset'

/** The Kafka of KAFKA_BROKERS, with what a benchmark makes there and takes away again. */
export const openKafkaSide = () => {
  const brokers = (process.env.KAFKA_BROKERS ?? '').split(',')
  const kafka = createKafka({ brokers, tls: false }, { logger, clientId: 'bench' })
  const topics: string[] = []
  const administer = async <Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> => {
    const admin = kafka.admin()
    await admin.connect()
    return work(admin).finally(() => admin.disconnect())
  }
  const newTopic = async (identity: string): Promise<{ namespace: string; topic: string }> => {
    const namespace = `bench-${randomUUID()}`
    const topic = topicOf(namespace, identity)
    await administer((admin) => ensureTopic(admin, topic, topicOptions))
    topics.push(topic)
    return { namespace, topic }
  }

  /** Carries the whole log once. */
  const relayAll = async (
    { database, store }: Ours,
    namespace: string,
    onPosition: (position: bigint) => void,
  ): Promise<void> => {
    const head = await store.head()
    const leases = openLeases({ database, logger })
    const done = new AbortController()
    const relay: KafkaRelayDependencies = {
      kafka,
      namespace,
      store,
      database,
      leases,
      logger,
      metrics: createMetrics(),
      ...topicOptions,
    }
    await createKafkaRelay({
      ...relay,
      onPosition: (position) => {
        onPosition(position)
        if (position >= head) done.abort()
      },
    }).run(done.signal)
    await leases.close()
  }

  return {
    kafka,
    newTopic,
    relayAll,
    close: () => administer((admin) => admin.deleteTopics({ topics })),
  }
}
