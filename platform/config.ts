import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { resolve } from 'node:path'
import { validateQuery } from '../schemas/validation.ts'
import { type Environment, environmentSchema, type Values } from './environment.ts'
import { refuseWithoutEffect } from './environment-without-effect.ts'
import { StartupError } from './failures.ts'

export type Role = 'write-side' | 'projections' | 'sagas' | 'read-api' | 'relay'
/** The relay carries the log to Kafka: without Kafka it has nothing to do, and `rolesOf` leaves it out. */
export const roles: readonly Role[] = ['write-side', 'projections', 'sagas', 'read-api', 'relay']

/** PEM of the authority that signed a server's certificate; undefined: the ones that Node.js trusts. */
type Authority = string | undefined

export interface KafkaConfig {
  readonly kind: 'kafka'
  /** `host:port`. */
  readonly brokers: readonly string[]
  readonly tls: boolean
  readonly ca: Authority
  readonly sasl:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
        readonly username: string
        readonly password: string
      }
    | undefined
  readonly partitions: number
  /** -1: the broker's default. */
  readonly replicationFactor: number
  readonly retentionMs: number
}

export interface RedisConfig {
  readonly kind: 'redis'
  readonly url: string
  readonly ca: Authority
}

export interface ElasticsearchConfig {
  readonly kind: 'elasticsearch'
  readonly url: string
  readonly apiKey: string | undefined
  readonly ca: Authority
}

export interface Config {
  /** Absolute. */
  readonly dataDirectory: string
  readonly host: string
  readonly port: number
  /** Addresses and networks (CIDR) of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[]
  readonly logLevel: string
  /** Currency of boards and sales when a query names none. */
  readonly currency: string
  readonly database: { readonly kind: 'embedded' } | { readonly kind: 'server'; readonly url: string }
  /** Of one process; undefined: by its roles. */
  readonly databaseConnections: number | undefined
  readonly eventStore: { readonly kind: 'postgres' } | { readonly kind: 'eventstoredb'; readonly url: string }
  readonly eventFeed: { readonly kind: 'log' } | KafkaConfig
  readonly leaderboards: { readonly kind: 'postgres' } | RedisConfig
  readonly search: { readonly kind: 'postgres' } | ElasticsearchConfig
  /** Begins every name that is made in Kafka, Redis and Elasticsearch. */
  readonly namespace: string
  readonly engineWaitMs: number
  readonly reservationDeadlineMs: number
  readonly authorisationDeadlineMs: number
  readonly gatewayTimeoutMs: number
  readonly shutdownTimeoutMs: number
  /** Writers that share the load of a read model that is rebuilt. */
  readonly rebuildLanes: number
  /** Whether stale read models are rebuilt without being asked for. */
  readonly rebuildStale: boolean
  readonly maxParkedStreams: number
}

/** Variables whose value may hold a password and is therefore never repeated in a message. */
const secret = /_URL$|_PASSWORD$|_API_KEY$/

const loopback = /^(localhost|127(\.\d{1,3}){3}|::1)$/

/** The value of every variable, validated. @throws StartupError */
const readValues = (environment: Environment, defaults: Readonly<Record<string, string>>): Values => {
  const given: Record<string, unknown> = { ...defaults }
  for (const name of Object.keys(environmentSchema.properties)) {
    const value = environment[name]
    if (value !== undefined && value !== '') given[name] = value
  }
  for (const name of Object.keys(environment))
    if (name.startsWith('ORDERLOG_') && !(name in environmentSchema.properties) && !name.startsWith('ORDERLOG_TEST_'))
      throw new StartupError(`${name} is not a variable of Orderlog; see docs/configuration.md for those that are.`)
  // Named in the design and not there yet: better refused than silently ignored.
  if (environment.PAYMENT_GATEWAY_URL)
    throw new StartupError('PAYMENT_GATEWAY_URL is set, but this version has no adapter for a payment provider yet.')

  const validation = validateQuery(environmentSchema, given)
  if (validation.valid) return validation.value
  const [problem] = validation.problems
  const name = problem?.path.slice(1) ?? 'the environment'
  const shown = secret.test(name) ? '' : ` (it is ${JSON.stringify(environment[name])})`
  throw new StartupError(`${name} ${problem?.message ?? 'is not valid'}${shown}.`)
}

const readAuthority = (variable: string, file: string | undefined): Authority => {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new StartupError(`${variable} names a file that cannot be read: ${(error as Error).message}.`)
  }
}

/** Addresses and networks. @throws StartupError */
const readNetworks = (variable: string, list: string | undefined): string[] => {
  const networks = list?.split(',') ?? []
  for (const network of networks) {
    const [address = '', prefix = '0', ...rest] = network.split('/')
    const family = isIP(address)
    try {
      if (family === 0 || rest.length > 0) throw new Error('no address')
      new BlockList().addSubnet(address, Number(prefix), family === 6 ? 'ipv6' : 'ipv4')
    } catch {
      throw new StartupError(`${variable} must list addresses or networks such as 10.0.0.0/8 (it has "${network}").`)
    }
  }
  return networks
}

const kafkaOf = (value: Values, brokers: string): KafkaConfig => {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_USERNAME: username, KAFKA_PASSWORD: password } = value
  const parts = [mechanism, username, password].filter((part) => part !== undefined)
  if (parts.length % 3 !== 0)
    throw new StartupError('KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD go together: set all or none.')
  return {
    kind: 'kafka',
    brokers: brokers.split(','),
    tls: value.KAFKA_TLS,
    ca: readAuthority('KAFKA_CA_FILE', value.KAFKA_CA_FILE),
    sasl: mechanism && username && password ? { mechanism, username, password } : undefined,
    partitions: value.KAFKA_PARTITIONS,
    replicationFactor: value.KAFKA_REPLICATION_FACTOR,
    retentionMs: value.KAFKA_RETENTION_MS,
  }
}

const enginesOf = (
  value: Values,
): Pick<Config, 'database' | 'eventStore' | 'eventFeed' | 'leaderboards' | 'search'> => {
  const { DATABASE_URL, EVENTSTORE_URL, KAFKA_BROKERS, REDIS_URL, ELASTICSEARCH_URL } = value
  const elasticsearchCa = readAuthority('ELASTICSEARCH_CA_FILE', value.ELASTICSEARCH_CA_FILE)
  return {
    database: DATABASE_URL ? { kind: 'server', url: DATABASE_URL } : { kind: 'embedded' },
    eventStore: EVENTSTORE_URL ? { kind: 'eventstoredb', url: EVENTSTORE_URL } : { kind: 'postgres' },
    eventFeed: KAFKA_BROKERS ? kafkaOf(value, KAFKA_BROKERS) : { kind: 'log' },
    leaderboards: REDIS_URL
      ? { kind: 'redis', url: REDIS_URL, ca: readAuthority('REDIS_CA_FILE', value.REDIS_CA_FILE) }
      : { kind: 'postgres' },
    search: ELASTICSEARCH_URL
      ? { kind: 'elasticsearch', url: ELASTICSEARCH_URL, apiKey: value.ELASTICSEARCH_API_KEY, ca: elasticsearchCa }
      : { kind: 'postgres' },
  }
}

/**
 * Reads the configuration from the environment.
 *
 * @param environment default: that of the process
 * @param defaults take the place of the documented defaults; the environment goes first
 *
 * @throws StartupError one sentence that names the variable and what it may be
 */
export const readConfig = (
  environment: Environment = process.env,
  defaults: Readonly<Record<string, string>> = {},
): Config => {
  const value = readValues(environment, defaults)
  refuseWithoutEffect(environment, value)
  if (!loopback.test(value.ORDERLOG_HOST) && !value.ORDERLOG_TRUSTED_NETWORK)
    throw new StartupError(
      `ORDERLOG_HOST must be a loopback address such as 127.0.0.1 as long as no authentication is configured, unless ORDERLOG_TRUSTED_NETWORK=true says that only trusted clients reach it (it is "${value.ORDERLOG_HOST}").`,
    )
  return {
    dataDirectory: resolve(value.ORDERLOG_DATA_DIR),
    host: value.ORDERLOG_HOST,
    port: value.ORDERLOG_PORT,
    trustedProxies: readNetworks('ORDERLOG_TRUSTED_PROXIES', value.ORDERLOG_TRUSTED_PROXIES),
    logLevel: value.ORDERLOG_LOG_LEVEL,
    currency: value.ORDERLOG_CURRENCY,
    ...enginesOf(value),
    databaseConnections: value.ORDERLOG_DATABASE_CONNECTIONS,
    namespace: value.ORDERLOG_NAMESPACE,
    engineWaitMs: value.ORDERLOG_ENGINE_WAIT_MS,
    reservationDeadlineMs: value.ORDERLOG_RESERVATION_DEADLINE_MS,
    authorisationDeadlineMs: value.ORDERLOG_AUTHORISATION_DEADLINE_MS,
    gatewayTimeoutMs: value.ORDERLOG_GATEWAY_TIMEOUT_MS,
    shutdownTimeoutMs: value.ORDERLOG_SHUTDOWN_TIMEOUT_MS,
    rebuildLanes: value.ORDERLOG_REBUILD_LANES,
    rebuildStale: value.ORDERLOG_REBUILD_STALE,
    maxParkedStreams: value.ORDERLOG_MAX_PARKED_STREAMS,
  }
}

/**
 * The roles that a process plays.
 *
 * @param chosen what the command line names; none: all that the engines have work for
 * @throws StartupError when the relay is wanted and there is no Kafka
 */
export const rolesOf = (config: Config, chosen: readonly Role[] = []): readonly Role[] => {
  const relays = config.eventFeed.kind === 'kafka'
  if (chosen.includes('relay') && !relays)
    throw new StartupError('The relay carries the log to Kafka: set KAFKA_BROKERS, or do not start it.')
  return chosen.length > 0 ? chosen : roles.filter((role) => role !== 'relay' || relays)
}

/** To PostgreSQL, of a process that rebuilds, beside the others. */
export const rebuildConnections = 6

/** Connections to PostgreSQL of a process with these roles, when ORDERLOG_DATABASE_CONNECTIONS does not say. */
export const connectionsFor = (chosen: readonly Role[]): number => {
  if (chosen.length > 1) return 20
  return chosen[0] === 'relay' ? 8 : 12
}
