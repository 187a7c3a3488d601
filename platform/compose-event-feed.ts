import { decodeEvent } from '../schemas/decoding.ts'
import { type Connections, type Opening, unlessAway } from './compose-opening.ts'
import type { KafkaConfig } from './config.ts'
import type { EventFeed } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { fixFeedPartitions, readFeedPartitions } from './feed-partitions.ts'
import type { HealthCheck } from './health.ts'
import type { Leases } from './leases.ts'
import { createLogEventFeed } from './log-event-feed.ts'
import { partitionLogFeed } from './log-event-feed-partitions.ts'
import { createPartitioning } from './partitioning.ts'

/** Carries the log to the engine of the feed. */
export interface Relay {
  run(signal: AbortSignal): Promise<void>
  readonly health: HealthCheck
}

export interface Feed {
  readonly feed: EventFeed
  /** Where a stream lies; undefined while the log is consumed as a whole. */
  readonly partitionOf?: (stream: string) => number
  /** When there is something to carry. */
  readonly relay?: Relay
  /** Of an engine of its own. */
  readonly check?: HealthCheck
}

const openKafkaFeed = async (
  { config, logger, metrics, lifecycle }: Opening,
  kafkaConfig: KafkaConfig,
  { database }: Connections,
  { store, log, leases }: { store: EventStore; log: EventFeed; leases: Leases },
): Promise<Feed> => {
  const { checkKafka, kafkaHealth } = await import('./kafka-check.ts')
  const { createKafka } = await import('./kafka-client.ts')
  const { createKafkaEventFeed } = await import('./kafka-event-feed.ts')
  const { createTopicGuard } = await import('./kafka-put-back.ts')
  const { createKafkaRelay } = await import('./kafka-relay.ts')
  const { namespace } = config
  const { partitions, replicationFactor, retentionMs } = kafkaConfig
  const kafka = createKafka(kafkaConfig, { logger, clientId: namespace })
  const engine = { name: 'Kafka', variable: 'KAFKA_BROKERS', host: kafkaConfig.brokers.join(',') }
  await unlessAway(engine, () => checkKafka(kafka, kafkaConfig), { without: 'projections and sagas', logger })
  await fixFeedPartitions(database, partitions)
  const guard = createTopicGuard({ kafka, store, database })
  const feed = createKafkaEventFeed({
    ...{ kafka, namespace, partitions, store, log, guard, logger, metrics },
    decode: decodeEvent,
  })
  lifecycle.onStop('the event feed on Kafka', feed.close, { group: 'engines' })
  const topic = { partitions, replicationFactor, retentionMs }
  const relay = createKafkaRelay({ kafka, namespace, store, database, leases, logger, metrics, ...topic })
  return {
    feed,
    partitionOf: createPartitioning(partitions).of,
    relay: {
      run: relay.run,
      health: () => {
        const { state, error } = relay.status()
        switch (state) {
          case 'publishing':
            return { ok: true }
          case 'standby':
            return { ok: true, detail: 'standby: it carries the log when no other relay does' }
          case 'waiting':
            return { ok: false, detail: error ?? 'no reason given' }
        }
      },
    },
    check: kafkaHealth(kafkaConfig, logger),
  }
}

/** The feed on the engine that the configuration chose, and what fills it. */
export const openFeed = async (opening: Opening, on: Connections, store: EventStore, leases: Leases): Promise<Feed> => {
  const { config, logger, lifecycle } = opening
  const log = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
  lifecycle.onStop('the event feed', log.close, { group: 'engines' })
  switch (config.eventFeed.kind) {
    case 'log': {
      // Consumers that have stood in partitions stay in them when Kafka is left.
      const count = await readFeedPartitions(on.database)
      if (count === undefined) return { feed: log }
      const partitioning = createPartitioning(count)
      return { feed: partitionLogFeed(log, partitioning), partitionOf: partitioning.of }
    }
    case 'kafka':
      return openKafkaFeed(opening, config.eventFeed, on, { store, log, leases })
  }
}
