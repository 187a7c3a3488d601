import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { connectionsFor, readConfig, roles, rolesOf } from './config.ts'
import { environmentSchema } from './environment.ts'
import { StartupError } from './failures.ts'

test('an empty environment gives the laptop: embedded PostgreSQL, loopback, port 3000', () => {
  expect(readConfig({})).toMatchObject({
    host: '127.0.0.1',
    port: 3000,
    currency: 'EUR',
    logLevel: 'info',
    database: { kind: 'embedded' },
    reservationDeadlineMs: 60_000,
  })
})

test('values are read in their units, and an empty variable counts as unset', () => {
  expect(
    readConfig({ ORDERLOG_PORT: '0', ORDERLOG_CURRENCY: 'USD', ORDERLOG_GATEWAY_TIMEOUT_MS: '250', DATABASE_URL: '' }),
  ).toMatchObject({
    port: 0,
    currency: 'USD',
    gatewayTimeoutMs: 250,
    database: { kind: 'embedded' },
  })
})

describe('a broken value is one sentence naming the variable', () => {
  test.each([
    [{ ORDERLOG_PORT: 'http' }, 'ORDERLOG_PORT must be integer (it is "http").'],
    [{ ORDERLOG_PORT: '70000' }, 'ORDERLOG_PORT must be <= 65535 (it is "70000").'],
    [
      { ORDERLOG_CURRENCY: 'EURO' },
      'ORDERLOG_CURRENCY must be an ISO 4217 currency code such as "EUR" (it is "EURO").',
    ],
    [{ ORDERLOG_HOST: '0.0.0.0' }, 'ORDERLOG_HOST must be a loopback address'],
    [{ ORDERLOG_PROT: '3000' }, 'ORDERLOG_PROT is not a variable of Orderlog'],
    [{ PAYMENT_GATEWAY_URL: 'https://pay' }, 'PAYMENT_GATEWAY_URL is set, but this version has no adapter'],
    [{ KAFKA_BROKERS: 'kafka://localhost' }, 'KAFKA_BROKERS must match pattern'],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_USERNAME: 'ada' }, 'KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD go'],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_CA_FILE: '/ca.pem' }, 'KAFKA_CA_FILE is set, but without KAFKA_TLS=true'],
    [{ REDIS_URL: 'rediss://a', REDIS_CA_FILE: '/nowhere' }, 'REDIS_CA_FILE names a file that cannot be read: ENOENT'],
    [{ REDIS_URL: 'redis://a', REDIS_CA_FILE: '/ca.pem' }, 'REDIS_CA_FILE is set, but without rediss:// in REDIS_URL'],
    [
      { ELASTICSEARCH_URL: 'http://a', ELASTICSEARCH_CA_FILE: '/ca.pem' },
      'ELASTICSEARCH_CA_FILE is set, but without https:// in ELASTICSEARCH_URL',
    ],
    [
      { ELASTICSEARCH_URL: 'https://ada:lovelace@a', ELASTICSEARCH_API_KEY: 'a2V5' },
      'ELASTICSEARCH_API_KEY is set, and ELASTICSEARCH_URL has a user as well',
    ],
    [{ ORDERLOG_TRUSTED_PROXIES: '10.0.0.0/8,proxy' }, 'ORDERLOG_TRUSTED_PROXIES must list addresses or networks'],
    [{ ORDERLOG_TRUSTED_PROXIES: '10.0.0.0/33' }, '(it has "10.0.0.0/33")'],
    [{ ORDERLOG_NAMESPACE: 'My Shop' }, 'ORDERLOG_NAMESPACE must match pattern'],
  ])('%o', (environment, sentence) => {
    expect(() => readConfig(environment)).toThrow(StartupError)
    expect(() => readConfig(environment)).toThrow(sentence)
  })

  const beside = [
    ['KAFKA_TLS', 'true', 'KAFKA_BROKERS'],
    ['KAFKA_CA_FILE', '/ca.pem', 'KAFKA_BROKERS'],
    ['KAFKA_SASL_MECHANISM', 'plain', 'KAFKA_BROKERS'],
    ['KAFKA_USERNAME', 'ada', 'KAFKA_BROKERS'],
    ['KAFKA_PASSWORD', 's3cret', 'KAFKA_BROKERS'],
    ['KAFKA_PARTITIONS', '3', 'KAFKA_BROKERS'],
    ['KAFKA_REPLICATION_FACTOR', '3', 'KAFKA_BROKERS'],
    ['KAFKA_RETENTION_MS', '60000', 'KAFKA_BROKERS'],
    ['REDIS_CA_FILE', '/ca.pem', 'REDIS_URL'],
    ['ELASTICSEARCH_API_KEY', 'a2V5', 'ELASTICSEARCH_URL'],
    ['ELASTICSEARCH_CA_FILE', '/ca.pem', 'ELASTICSEARCH_URL'],
  ] as const

  test.each(beside)('%s=%s without %s', (name, value, engine) => {
    expect(() => readConfig({ [name]: value, [engine]: '' })).toThrow(
      new StartupError(`${name} is set and has no effect without ${engine}: set that as well, or unset ${name}.`),
    )
    expect(readConfig({ [name]: '' })).toEqual(readConfig({}))
  })

  test('no variable of an engine is missing from these', () => {
    const switches = ['DATABASE_URL', 'EVENTSTORE_URL', 'KAFKA_BROKERS', 'REDIS_URL', 'ELASTICSEARCH_URL']
    expect([...beside.map(([name]) => name), ...switches].sort()).toEqual(
      Object.keys(environmentSchema.properties)
        .filter((name) => !name.startsWith('ORDERLOG_'))
        .sort(),
    )
  })

  test('a password is not repeated', () => {
    expect(() => readConfig({ DATABASE_URL: 'mysql://root:s3cret@db/x' })).toThrow(
      /^DATABASE_URL must match(?!.*s3cret)/,
    )
  })
})

test('each engine is switched on by one variable', () => {
  expect(
    readConfig({
      ...{ DATABASE_URL: 'postgres://db/x', EVENTSTORE_URL: 'esdb://log:2113', REDIS_URL: 'rediss://boards:6380' },
      ...{ ELASTICSEARCH_URL: 'https://search:9200', ELASTICSEARCH_API_KEY: 'a2V5' },
      ...{ KAFKA_BROKERS: 'one:9092,two:9092', KAFKA_TLS: 'true', KAFKA_SASL_MECHANISM: 'scram-sha-256' },
      ...{ KAFKA_USERNAME: 'ada', KAFKA_PASSWORD: 's3cret' },
    }),
  ).toMatchObject({
    database: { kind: 'server', url: 'postgres://db/x' },
    eventStore: { kind: 'eventstoredb', url: 'esdb://log:2113' },
    eventFeed: {
      kind: 'kafka',
      brokers: ['one:9092', 'two:9092'],
      tls: true,
      sasl: { mechanism: 'scram-sha-256', username: 'ada', password: 's3cret' },
      partitions: 6,
      replicationFactor: -1,
    },
    leaderboards: { kind: 'redis', url: 'rediss://boards:6380' },
    search: { kind: 'elasticsearch', url: 'https://search:9200', apiKey: 'a2V5' },
  })
})

test('a process plays the roles that it is told to, or all that there is work for', () => {
  const small = readConfig({})
  const large = readConfig({ KAFKA_BROKERS: 'localhost:9092' })
  expect(rolesOf(small)).toEqual(['write-side', 'projections', 'sagas', 'read-api'])
  expect(rolesOf(large)).toEqual(roles)
  expect(rolesOf(large, ['relay'])).toEqual(['relay'])
  expect(() => rolesOf(small, ['relay'])).toThrow(/The relay carries the log to Kafka: set KAFKA_BROKERS/)
  expect([roles, ['sagas'], ['relay']].map((chosen) => connectionsFor(chosen as typeof roles))).toEqual([20, 12, 8])
})

test('a trusted network may be listened on', () => {
  expect(readConfig({ ORDERLOG_HOST: '0.0.0.0', ORDERLOG_TRUSTED_NETWORK: 'true' }).host).toBe('0.0.0.0')
})

test('docs/configuration.md lists every variable with its default, and no other', () => {
  const documented = [
    ...readFileSync('docs/configuration.md', 'utf8').matchAll(/^\| `([A-Z_]+)` \| (?:`([^`]+)`|unset) \|/gm),
  ]
  const properties = environmentSchema.properties as unknown as Record<string, { default?: unknown }>
  expect(documented.map(([, name, value]) => [name, value])).toEqual(
    Object.entries(properties).map(([name, schema]) => [
      name,
      schema.default === undefined ? undefined : String(schema.default),
    ]),
  )
})
