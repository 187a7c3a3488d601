import { Kafka, type LogEntry, logLevel, type SASLOptions } from 'kafkajs'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'

/** How to reach the brokers. */
export interface KafkaAddress {
  /** `host:port`. */
  readonly brokers: readonly string[]
  readonly tls: boolean
  /** PEM of the authority that signed the brokers' certificates; undefined: those that Node.js trusts. */
  readonly ca?: string | undefined
  readonly sasl?:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
        readonly username: string
        readonly password: string
      }
    | undefined
}

/** The client tries again by itself and tells each try as an error: what becomes of it is ours to say. */
const toPino = (logger: Logger) => () => {
  const log = logger.child({ client: 'kafkajs' })
  return ({ namespace, level, log: { message, error, groupId, broker } }: LogEntry): void => {
    const details = { namespace, error: error instanceof Error ? error.message : error, groupId, broker }
    if (level === logLevel.ERROR) log.info(details, message)
    else log.debug(details, message)
  }
}

/**
 * A client of Kafka. Every request of it ends, at the latest when the broker has not answered for `requestTimeoutMs`.
 *
 * @param options.requestTimeoutMs default 10,000
 */
export const createKafka = (
  address: KafkaAddress,
  options: { readonly logger: Logger; readonly clientId: string; readonly requestTimeoutMs?: number },
): Kafka => {
  const { logger, clientId, requestTimeoutMs = 10_000 } = options
  const { brokers, tls, ca, sasl } = address
  return new Kafka({
    clientId,
    brokers: [...brokers],
    ssl: tls && (ca === undefined ? true : { ca: [ca] }),
    ...(sasl ? { sasl: sasl as SASLOptions } : {}),
    connectionTimeout: 5_000,
    authenticationTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 },
    logLevel: logger.isLevelEnabled('debug') ? logLevel.INFO : logLevel.ERROR,
    logCreator: toPino(logger),
  })
}

/** The innermost cause: the client wraps what happened in what it did about it. */
export const rootOf = (error: unknown): Error => {
  if (!(error instanceof Error)) return new Error(String(error))
  return error.cause instanceof Error ? rootOf(error.cause) : error
}

/** Whatever a request to Kafka failed with, as "not now". */
export const kafkaUnavailable = (error: unknown): EngineUnavailable =>
  error instanceof EngineUnavailable ? error : new EngineUnavailable('Kafka', rootOf(error))
