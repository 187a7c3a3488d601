import type { Kafka } from 'kafkajs'
import { EngineUnavailable, StartupError } from './failures.ts'
import type { HealthCheck } from './health.ts'
import { createKafka, type KafkaAddress, kafkaUnavailable, rootOf } from './kafka-client.ts'
import { answersToTls, type Greeting, greetKafka } from './kafka-greeting.ts'
import type { Logger } from './logging.ts'

/** The first whose topics are made with the broker's own replication factor. */
const oldestVersion = '2.4'
const createTopics = 19
const createTopicsOfOldest = 4

/** The newest version that our client speaks of each request that Orderlog sends. */
const spoken: readonly (readonly [key: number, name: string, newest: number])[] = [
  [0, 'Produce', 7],
  [1, 'Fetch', 11],
  [2, 'ListOffsets', 3],
  [3, 'Metadata', 6],
  [8, 'OffsetCommit', 5],
  [9, 'OffsetFetch', 4],
  [10, 'FindCoordinator', 2],
  [11, 'JoinGroup', 5],
  [12, 'Heartbeat', 3],
  [13, 'LeaveGroup', 3],
  [14, 'SyncGroup', 3],
  [createTopics, 'CreateTopics', 3],
  [22, 'InitProducerId', 1],
]

/** Why a broker that greets like this can never be worked with, in half a sentence; undefined when it can. */
export const kafkaRefusal = ({ understands, mechanisms }: Greeting, sasl: KafkaAddress['sasl']): string | undefined => {
  if ((understands.get(createTopics)?.newest ?? 0) < createTopicsOfOldest)
    return `it is older than ${oldestVersion}, the oldest version that serves`
  for (const [key, name, newest] of spoken)
    if ((understands.get(key)?.oldest ?? 0) > newest)
      return `it is too new: it no longer understands ${name} ${newest}, the newest that Orderlog speaks`
  if (mechanisms === undefined) return undefined
  const variables = 'KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD'
  const offered = mechanisms.map((mechanism) => mechanism.toLowerCase())
  if (!sasl) return offered.length > 0 ? `it wants a password (${offered.join(', ')}); set ${variables}` : undefined
  if (offered.length === 0) return `it takes no password; unset ${variables}, or name the port that takes one`
  return offered.includes(sasl.mechanism)
    ? undefined
    : `it takes ${offered.join(', ')}, and KAFKA_SASL_MECHANISM is ${sasl.mechanism}`
}

const noKafka = 'what answers there is no Kafka'
const speaksTls = 'it speaks TLS; set KAFKA_TLS=true'
const speaksNoTls = 'it speaks no TLS; unset KAFKA_TLS, or name the port that does'

/** What Node.js and OpenSSL say of a certificate that is not believed, and of a server that ends a handshake. */
const tlsTrouble = /certificate|self[- ]signed|altnames|CERT_|UNABLE_TO_|\balert\b/i

/**
 * A broker that has not answered is spoken to in the other way. One that starts up answers neither; one that answers to
 * the other is the wrong port, and always will be.
 *
 * @returns half a sentence; undefined when waiting may mend it
 */
const refusalOfSilence = async (broker: string, tls: boolean, timeoutMs: number): Promise<string | undefined> => {
  if (!tls) return (await answersToTls(broker, timeoutMs)) ? speaksTls : undefined
  const { answer } = await greetKafka(broker, 'none', timeoutMs)
  if (answer === 'kafka') return speaksNoTls
  return answer === 'other' ? noKafka : undefined
}

/** @returns why the broker cannot be used, in half a sentence. @throws EngineUnavailable when it does not answer */
const refusalOf = async (broker: string, address: KafkaAddress, timeoutMs: number): Promise<string | undefined> => {
  const { tls, ca, sasl } = address
  const greeted = await greetKafka(broker, tls ? { ca } : 'none', timeoutMs)
  switch (greeted.answer) {
    case 'kafka':
      return kafkaRefusal(greeted, sasl)
    case 'tls':
      return speaksTls
    case 'other':
      return noKafka
    case 'none': {
      const { connected, error } = greeted
      if (!connected) throw new EngineUnavailable('Kafka', error)
      const { code, reason = error.message } = error as { readonly code?: string; readonly reason?: string }
      if (tlsTrouble.test(`${code} ${error.message}`)) return `TLS fails (${reason}); see KAFKA_CA_FILE`
      const refusal = await refusalOfSilence(broker, tls, timeoutMs)
      if (refusal !== undefined) return refusal
      const likely = `it took the connection and gave no answer; it may be starting, or KAFKA_TLS=${tls} may be wrong`
      throw new EngineUnavailable('Kafka', new Error(`${error.message} (${likely})`, { cause: error }))
    }
  }
}

const unusable = ({ brokers }: KafkaAddress, why: string, cause?: unknown): StartupError =>
  new StartupError(`KAFKA_BROKERS names a Kafka on ${brokers.join(',')} that cannot be used: ${why}.`, { cause })

/** What only the client finds out, and trying again does not mend: wrong credentials. */
const isRefusal = (error: Error): boolean => /SASL|certificate|unsupported/i.test(`${error.name} ${error.message}`)

/** @throws EngineUnavailable, StartupError */
const askKafka = async (kafka: Kafka, address: KafkaAddress): Promise<void> => {
  const admin = kafka.admin({ retry: { retries: 0 } })
  try {
    await admin.connect()
    await admin.describeCluster()
  } catch (error) {
    const root = rootOf(error)
    throw isRefusal(root) ? unusable(address, root.message.replace(/\.$/, ''), error) : kafkaUnavailable(error)
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

/**
 * Looks whether the brokers can be used at all: whichever answers first speaks for all of them.
 *
 * @param options.timeoutMs of each of two attempts to hear a broker's first words; default 5,000
 * @throws EngineUnavailable when none can be reached; StartupError, one sentence that names the variable and the brokers
 * and no secret, when waiting will not help
 */
export const checkKafka = async (
  kafka: Kafka,
  address: KafkaAddress,
  { timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {},
): Promise<void> => {
  const refusals = address.brokers.map((broker) => refusalOf(broker, address, timeoutMs))
  const refusal = await Promise.any(refusals).catch((error: AggregateError) => {
    throw error.errors[0]
  })
  if (refusal !== undefined) throw unusable(address, refusal)
  await askKafka(kafka, address)
}

/** Whether any broker answers, for `/health/ready`. */
export const kafkaHealth = (address: KafkaAddress, logger: Logger): HealthCheck => {
  const kafka = createKafka(address, { logger, clientId: 'orderlog-health', requestTimeoutMs: 900 })
  return async () => {
    await askKafka(kafka, address)
    return { ok: true }
  }
}
