import { type Static, Type } from 'typebox'
import { Currency, strict } from '../schemas/primitives.ts'

const milliseconds = (minimum: number, fallback: number) =>
  Type.Integer({ minimum, maximum: 2_147_483_647, default: fallback })

const oneOf = <Values extends readonly string[]>(...values: Values) => values.map((value) => Type.Literal(value))

/** Every variable that Orderlog reads, its unit, bounds and default. docs/configuration.md is the same list in prose. */
export const environmentSchema = strict({
  ORDERLOG_DATA_DIR: Type.String({ minLength: 1, default: '.orderlog' }),
  ORDERLOG_HOST: Type.String({ minLength: 1, default: '127.0.0.1' }),
  /** 0 takes a free port. */
  ORDERLOG_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 3000 }),
  ORDERLOG_TRUSTED_NETWORK: Type.Boolean({ default: false }),
  ORDERLOG_TRUSTED_PROXIES: Type.Optional(Type.String({ minLength: 1 })),
  ORDERLOG_LOG_LEVEL: Type.Union(oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), {
    default: 'info',
  }),
  ORDERLOG_CURRENCY: Type.Intersect([Currency], { default: 'EUR' }),
  /** Half of them serve queries. Three projections need a second connection while they hold one. Default: by role. */
  ORDERLOG_DATABASE_CONNECTIONS: Type.Optional(Type.Integer({ minimum: 8, maximum: 200 })),
  ORDERLOG_RESERVATION_DEADLINE_MS: milliseconds(100, 60_000),
  ORDERLOG_AUTHORISATION_DEADLINE_MS: milliseconds(100, 300_000),
  ORDERLOG_GATEWAY_TIMEOUT_MS: milliseconds(10, 5_000),
  /** Streams of which a projection may have parked events; one more stops it. */
  ORDERLOG_MAX_PARKED_STREAMS: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1_000 }),
  ORDERLOG_SHUTDOWN_TIMEOUT_MS: milliseconds(100, 10_000),
  /** How long a start waits for PostgreSQL and the event store to answer at all. */
  ORDERLOG_ENGINE_WAIT_MS: milliseconds(0, 60_000),
  /** Begins every name that Orderlog makes in Kafka, Redis and Elasticsearch. */
  ORDERLOG_NAMESPACE: Type.String({ pattern: '^[a-z][a-z0-9-]{0,39}$', default: 'orderlog' }),
  /** Writers that share the load of a read model that is rebuilt. */
  ORDERLOG_REBUILD_LANES: Type.Integer({ minimum: 1, maximum: 32, default: 2 }),
  /** Whether read models of another version of the code are rebuilt without being asked for. */
  ORDERLOG_REBUILD_STALE: Type.Boolean({ default: false }),
  DATABASE_URL: Type.Optional(Type.String({ pattern: '^postgres(ql)?://' })),
  EVENTSTORE_URL: Type.Optional(Type.String({ pattern: '^esdb(\\+discover)?://' })),
  KAFKA_BROKERS: Type.Optional(Type.String({ pattern: '^[^\\s,:/]+:\\d+(,[^\\s,:/]+:\\d+)*$' })),
  KAFKA_TLS: Type.Boolean({ default: false }),
  KAFKA_CA_FILE: Type.Optional(Type.String({ minLength: 1 })),
  KAFKA_SASL_MECHANISM: Type.Optional(Type.Union(oneOf('plain', 'scram-sha-256', 'scram-sha-512'))),
  KAFKA_USERNAME: Type.Optional(Type.String({ minLength: 1 })),
  KAFKA_PASSWORD: Type.Optional(Type.String({ minLength: 1 })),
  /** Fixed when the topic is made: with another count, orders would change partition. */
  KAFKA_PARTITIONS: Type.Integer({ minimum: 1, maximum: 1_000, default: 6 }),
  /** -1: the broker's default. */
  KAFKA_REPLICATION_FACTOR: Type.Integer({ minimum: -1, maximum: 100, default: -1 }),
  /** How long Kafka keeps an event at least; who is further behind reads the event store. */
  KAFKA_RETENTION_MS: milliseconds(60_000, 7 * 24 * 3_600_000),
  REDIS_URL: Type.Optional(Type.String({ pattern: '^rediss?://' })),
  REDIS_CA_FILE: Type.Optional(Type.String({ minLength: 1 })),
  ELASTICSEARCH_URL: Type.Optional(Type.String({ pattern: '^https?://' })),
  ELASTICSEARCH_API_KEY: Type.Optional(Type.String({ minLength: 1 })),
  ELASTICSEARCH_CA_FILE: Type.Optional(Type.String({ minLength: 1 })),
})

/** The variables of a process as they are. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The value of every variable that Orderlog reads, defaults filled in. */
export type Values = Static<typeof environmentSchema>
