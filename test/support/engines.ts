import { randomUUID } from 'node:crypto'
import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { openTestDatabase, type TestDatabase } from './postgres.ts'

export type Engine = 'kafka' | 'redis' | 'elasticsearch'

const variables = {
  kafka: ['ORDERLOG_TEST_KAFKA_BROKERS', 'KAFKA_BROKERS'],
  redis: ['ORDERLOG_TEST_REDIS_URL', 'REDIS_URL'],
  elasticsearch: ['ORDERLOG_TEST_ELASTICSEARCH_URL', 'ELASTICSEARCH_URL'],
} as const satisfies Record<Engine, readonly [test: string, ours: string]>

/** The variables that would have to be set for a test that needs these engines; empty: it can run. */
export const missing = (...engines: readonly Engine[]): readonly string[] =>
  engines.map((engine) => variables[engine][0]).filter((variable) => !process.env[variable])

/** How a suite says why it does not run. */
export const leftOut = (...engines: readonly Engine[]): string => {
  const unset = missing(...engines)
  return unset.length === 0 ? '' : ` (left out: ${unset.join(', ')} unset)`
}

/** A database and a namespace of a test's own on the real servers. */
export interface TestEngines {
  readonly database: TestDatabase
  readonly namespace: string
  /** What points the program at them. */
  readonly environment: Readonly<Record<string, string>>
  /** Deletes all that was made in them. */
  drop(): Promise<void>
}

const clean = {
  kafka: async (address: string, namespace: string) => {
    const admin = new Kafka({ brokers: address.split(','), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(namespace))
      if (topics.length > 0) await admin.deleteTopics({ topics })
    } finally {
      await admin.disconnect()
    }
  },
  redis: async (address: string, namespace: string) => {
    const redis = new Redis(address)
    try {
      for await (const keys of redis.scanStream({ match: `*${namespace}*`, count: 1_000 }))
        if (keys.length > 0) await redis.unlink(...(keys as string[]))
    } finally {
      redis.disconnect()
    }
  },
  elasticsearch: async (address: string, namespace: string) => {
    const client = new Client({ node: address })
    try {
      const indices = Object.keys(await client.indices.get({ index: `${namespace}*`, allow_no_indices: true }))
      if (indices.length > 0) await client.indices.delete({ index: indices })
    } finally {
      await client.close()
    }
  },
} satisfies Record<Engine, (address: string, namespace: string) => Promise<void>>

export const openTestEngines = async (...engines: readonly Engine[]): Promise<TestEngines> => {
  const database = await openTestDatabase({ migrated: false, max: 1 })
  const namespace = `t${randomUUID().slice(0, 8)}`
  const addresses = engines.map((engine) => [engine, process.env[variables[engine][0]] ?? ''] as const)
  return {
    database,
    namespace,
    environment: {
      DATABASE_URL: database.url,
      ORDERLOG_NAMESPACE: namespace,
      ...Object.fromEntries(addresses.map(([engine, address]) => [variables[engine][1], address])),
    },
    drop: async () => {
      await database.drop()
      for (const [engine, address] of addresses) await clean[engine](address, namespace)
    },
  }
}
