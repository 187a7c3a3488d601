import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { becomesReady } from '../test/support/becomes-ready.ts'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaServer, kafkaUser, noKafkaServer, startKafkaServer } from '../test/support/kafka-server.ts'
import { openHome, type PlatformHome } from '../test/support/platform-home.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { selfSigned } from '../test/support/self-signed.ts'
import { StartupError } from './failures.ts'
import { checkKafka, kafkaHealth } from './kafka-check.ts'
import { createKafka, type KafkaAddress } from './kafka-client.ts'
import { silentLogger as logger } from './logging.ts'

const why = noKafkaServer === '' ? '' : ` (left out: ${noKafkaServer})`

describe.skipIf(noKafkaServer !== '')(`a Kafka with TLS and passwords${why}`, () => {
  let server: KafkaServer
  beforeAll(async () => {
    server = await startKafkaServer()
  })
  afterAll(() => server?.stop())

  const wrong = 'not-her-password'
  const variables = 'KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD'
  const ca = selfSigned.cert
  const plain = { mechanism: 'plain', ...kafkaUser } as const
  const scram = { mechanism: 'scram-sha-256', ...kafkaUser } as const

  type Listener = 'plain' | 'tls' | 'sasl' | 'saslTls'
  const check = async (listener: Listener, settings: Omit<KafkaAddress, 'brokers'>, more: readonly string[] = []) => {
    const address = { brokers: [...more, server[listener]], ...settings }
    const kafka = createKafka(address, { logger, clientId: 'test', requestTimeoutMs: 30_000 })
    await checkKafka(kafka, address, { timeoutMs: 30_000 })
  }

  test.each<[what: string, Listener, Omit<KafkaAddress, 'brokers'>]>([
    ['in clear text', 'plain', { tls: false }],
    ['over TLS', 'tls', { tls: true, ca }],
    ['by plain in clear text', 'sasl', { tls: false, sasl: plain }],
    ['by plain over TLS', 'saslTls', { tls: true, ca, sasl: plain }],
    ['by scram-sha-256 over TLS', 'saslTls', { tls: true, ca, sasl: scram }],
  ])('lets us in %s', async (_, listener, settings) => {
    // It takes a moment longer to know its users than to listen.
    await eventually(
      () => check(listener, settings),
      () => true,
      { what: 'being let in' },
    )
  })

  test.each<[what: string, Listener, Omit<KafkaAddress, 'brokers'>, because: string | RegExp]>([
    ['speak clear text to TLS', 'tls', { tls: false }, 'it speaks TLS; set KAFKA_TLS=true'],
    [
      'speak clear text to TLS with a password',
      'saslTls',
      { tls: false, sasl: plain },
      'it speaks TLS; set KAFKA_TLS=true',
    ],
    [
      'speak TLS to clear text',
      'plain',
      { tls: true, ca },
      'it speaks no TLS; unset KAFKA_TLS, or name the port that does',
    ],
    [
      'speak TLS to clear text with a password',
      'sasl',
      { tls: true, ca, sasl: plain },
      'it speaks no TLS; unset KAFKA_TLS, or name the port that does',
    ],
    ['do not know its authority', 'tls', { tls: true }, /^TLS fails \(self-signed certificate.*\); see KAFKA_CA_FILE$/],
    ['have no password', 'saslTls', { tls: true, ca }, `it wants a password (plain, scram-sha-256); set ${variables}`],
    [
      'have a password that nobody asks for',
      'tls',
      { tls: true, ca, sasl: scram },
      `it takes no password; unset ${variables}, or name the port that takes one`,
    ],
    [
      'show the password in another way',
      'saslTls',
      { tls: true, ca, sasl: { ...scram, mechanism: 'scram-sha-512' } },
      'it takes plain, scram-sha-256, and KAFKA_SASL_MECHANISM is scram-sha-512',
    ],
    [
      'have a wrong password for plain',
      'saslTls',
      { tls: true, ca, sasl: { ...plain, password: wrong } },
      /^SASL PLAIN authentication failed: [^.]+$/,
    ],
    [
      'have a wrong password for scram-sha-256',
      'saslTls',
      { tls: true, ca, sasl: { ...scram, password: wrong } },
      /^SASL SCRAM SHA256 authentication failed: [^.]+$/,
    ],
  ])('refuses us in one sentence when we %s', async (_, listener, settings, because) => {
    const failure = await check(listener, settings).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(StartupError)
    const [, reason, end] =
      /^KAFKA_BROKERS names a Kafka on 127\.0\.0\.1:\d+ that cannot be used: (.*)(.)$/.exec(
        String((failure as Error).message),
      ) ?? []
    expect(reason).toEqual(typeof because === 'string' ? because : expect.stringMatching(because))
    expect(end).toBe('.')
    expect((failure as Error).message).not.toContain(wrong)
  })

  test('is found though the broker before it in the list is away', async () => {
    await check('tls', { tls: true, ca }, ['127.0.0.1:1'])
    const address = { brokers: ['127.0.0.1:1', server.tls], tls: true, ca }
    await eventually(
      async () => kafkaHealth(address, logger)(),
      ({ ok }) => ok,
      { what: 'health of a Kafka with a broker that is away' },
    )
    const failure = await check('tls', { tls: false }, ['127.0.0.1:1']).catch(String)
    expect(failure).toContain(
      `KAFKA_BROKERS names a Kafka on 127.0.0.1:1,${server.tls} that cannot be used: it speaks TLS`,
    )
  })

  describe('and a process', () => {
    let home: PlatformHome
    let database: TestDatabase
    let directory: string
    beforeAll(async () => {
      home = await openHome()
      database = await openTestDatabase({ migrated: false, max: 1 })
      directory = await mkdtemp(join(tmpdir(), 'orderlog-ca-'))
      await writeFile(join(directory, 'ca.pem'), ca)
    })
    afterAll(async () => {
      await home?.close()
      await database?.drop()
      if (directory) await rm(directory, { recursive: true, force: true })
    })
    const environment = () => ({
      ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', KAFKA_BROKERS: server.saslTls, KAFKA_TLS: 'true' },
      ...{ KAFKA_CA_FILE: join(directory, 'ca.pem'), KAFKA_SASL_MECHANISM: 'scram-sha-256' },
      ...{ KAFKA_USERNAME: kafkaUser.username, KAFKA_PASSWORD: kafkaUser.password },
    })

    test('come together over TLS with a password, relay and consumers and all', async () => {
      const platform = await home.start([], environment())
      await becomesReady(platform.url)
      expect(await platform.kill('SIGTERM')).toBe(0)
      expect(platform.log.join('\n')).not.toContain(kafkaUser.password)
    })

    test.each([
      ['the password is wrong', { KAFKA_PASSWORD: wrong }, /: SASL SCRAM SHA256 authentication failed: .*\.$/],
      [
        'TLS is forgotten',
        { KAFKA_TLS: '', KAFKA_CA_FILE: '' },
        /that cannot be used: it speaks TLS; set KAFKA_TLS=true\.$/,
      ],
    ])('do not when %s, which is one sentence', async (_, change, sentence) => {
      const { code, stderr } = await home.run(['start'], { ...environment(), ...change })
      const said = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
      expect(said).toEqual([expect.stringMatching(/^orderlog: KAFKA_BROKERS names a Kafka on 127\.0\.0\.1:\d+ /)])
      expect(said[0]).toMatch(sentence)
      expect(stderr).not.toContain(wrong)
      expect(code).toBe(1)
    })
  })
})
