import { randomUUID } from 'node:crypto'
import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'

const { KAFKA_BROKERS, REDIS_URL, ELASTICSEARCH_URL } = process.env

/** The engines that the environment names, as variables for a platform; empty when it names none. */
export const engines: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({ KAFKA_BROKERS, REDIS_URL, ELASTICSEARCH_URL }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
  ),
)

const forgetKafka = async (brokers: string, namespace: string): Promise<void> => {
  const admin = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${namespace}.`))
  if (topics.length > 0) await admin.deleteTopics({ topics })
  await admin.disconnect()
}

const forgetRedis = async (url: string, namespace: string): Promise<void> => {
  const redis = new Redis(url)
  for await (const keys of redis.scanStream({ match: `${namespace}:*`, count: 1_000 }))
    if (keys.length > 0) await redis.unlink(keys)
  redis.disconnect()
}

const forgetElasticsearch = async (node: string, namespace: string): Promise<void> => {
  const client = new Client({ node })
  const found = await client.indices.get({ index: `${namespace}-*` })
  for (const index of Object.keys(found)) await client.indices.delete({ index })
  await client.close()
}

/** Names in the engines that nobody else uses, and how to take away what was made under them. */
export const ownNamespace = () => {
  const namespace = `bench-${randomUUID().slice(0, 8)}`
  return {
    namespace,
    /** @param variables which engines were used */
    forget: async (variables: Readonly<Record<string, string>>): Promise<void> => {
      const { KAFKA_BROKERS: brokers, REDIS_URL: redis, ELASTICSEARCH_URL: search } = variables
      if (brokers) await forgetKafka(brokers, namespace)
      if (redis) await forgetRedis(redis, namespace)
      if (search) await forgetElasticsearch(search, namespace)
    },
  }
}
