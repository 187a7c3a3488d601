import { once } from 'node:events'
import { createServer as createWebServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { selfSigned } from '../test/support/self-signed.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { checkKafka, kafkaRefusal } from './kafka-check.ts'
import { createKafka } from './kafka-client.ts'
import { silentLogger as logger } from './logging.ts'

const opened: Server[] = []
afterEach(() => {
  for (const server of opened.splice(0)) server.close()
})
const addressOf = async (server: Server): Promise<string> => {
  server.listen(0, '127.0.0.1')
  opened.push(server)
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
const failureOf = async (broker: string, tls: boolean, timeoutMs = 30_000): Promise<Error> => {
  const address = { brokers: [broker], tls }
  const kafka = createKafka(address, { logger, clientId: 'test' })
  const failure = await checkKafka(kafka, address, { timeoutMs }).catch((error: unknown) => error)
  if (!(failure instanceof Error)) throw new Error('it did not fail')
  return failure
}
const refused = (broker: string, why: string) =>
  new StartupError(`KAFKA_BROKERS names a Kafka on ${broker} that cannot be used: ${why}.`)

describe.each([[true], [false]])('with KAFKA_TLS=%s', (tls) => {
  test('nobody who listens is unavailable', async () => {
    const failure = await failureOf('127.0.0.1:1', tls)
    expect(failure).toBeInstanceOf(EngineUnavailable)
    expect(failure.message).toMatch(/ECONNREFUSED 127\.0\.0\.1:1$/)
  })

  test('who closes the connection without a word is unavailable, and KAFKA_TLS a likely cause', async () => {
    const broker = await addressOf(createServer((socket) => socket.on('error', () => undefined).destroy()))
    const failure = await failureOf(broker, tls)
    expect(failure).toBeInstanceOf(EngineUnavailable)
    expect(failure.message).toContain(`it may be starting, or KAFKA_TLS=${tls} may be wrong`)
  })

  test('who says nothing is unavailable, and not waited for without end', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume())
    const failure = await failureOf(await addressOf(silent), tls, 200)
    expect(failure).toBeInstanceOf(EngineUnavailable)
    expect(failure.message).toMatch(/no answer within 200 ms .*KAFKA_TLS/)
  })

  test('a web server is refused', async () => {
    const broker = await addressOf(createWebServer((_, response) => response.end('hello')))
    expect(await failureOf(broker, tls)).toEqual(refused(broker, 'what answers there is no Kafka'))
  })
})

test('a server that speaks TLS to clear text is refused', async () => {
  const broker = await addressOf(createTlsServer(selfSigned).on('tlsClientError', (_, socket) => socket.destroy()))
  expect(await failureOf(broker, false)).toEqual(refused(broker, 'it speaks TLS; set KAFKA_TLS=true'))
})

test('a server whose certificate nobody has signed is refused', async () => {
  const broker = await addressOf(createTlsServer(selfSigned))
  const failure = await failureOf(broker, true)
  expect(failure).toBeInstanceOf(StartupError)
  // Node.js 24 has an advice of its own to add.
  expect(failure.message).toMatch(/ cannot be used: TLS fails \(self-signed certificate.*\); see KAFKA_CA_FILE\.$/)
})

/** Its answer to ApiVersions, and then it closes, as one does that was told of a request that it does not know. */
const oldBroker = (versions: readonly (readonly [key: number, oldest: number, newest: number])[]): Server =>
  createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (request) => {
      const body = Buffer.alloc(14 + versions.length * 6)
      body.writeInt32BE(body.length - 4, 0)
      request.copy(body, 4, 8, 12)
      body.writeInt32BE(versions.length, 10)
      for (const [index, version] of versions.entries())
        for (const [at, number] of version.entries()) body.writeInt16BE(number, 14 + index * 6 + at * 2)
      // In two pieces: an answer may arrive in any.
      socket.write(body.subarray(0, 7), () => setImmediate(() => socket.end(body.subarray(7))))
    })
  })

test('a broker that is too old is refused, though it does not know our second question', async () => {
  const broker = await addressOf(
    oldBroker([
      [0, 0, 7],
      [3, 0, 8],
      [18, 0, 2],
      [19, 0, 3],
    ]),
  )
  expect(await failureOf(broker, false)).toEqual(
    refused(broker, 'it is older than 2.4, the oldest version that serves'),
  )
})

describe('a broker', () => {
  const understands = new Map([
    [0, { oldest: 0, newest: 13 }],
    [19, { oldest: 2, newest: 7 }],
  ])
  const sasl = { mechanism: 'scram-sha-256', username: 'ada', password: 's3cret' } as const
  const variables = 'KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD'

  test('serves when it speaks what we speak and wants the password that we have', () => {
    expect(kafkaRefusal({ understands, mechanisms: [] }, undefined)).toBeUndefined()
    expect(kafkaRefusal({ understands, mechanisms: ['PLAIN', 'SCRAM-SHA-256'] }, sasl)).toBeUndefined()
    expect(kafkaRefusal({ understands, mechanisms: undefined }, sasl)).toBeUndefined()
  })

  test('that no longer speaks what we speak is refused', () => {
    const newer = new Map([...understands, [0, { oldest: 8, newest: 20 }] as const])
    expect(kafkaRefusal({ understands: newer, mechanisms: [] }, undefined)).toBe(
      'it is too new: it no longer understands Produce 7, the newest that Orderlog speaks',
    )
  })

  test('that knows nothing of topics, or not enough, is refused', () => {
    const older = new Map([...understands, [19, { oldest: 0, newest: 3 }] as const])
    for (const known of [older, new Map()])
      expect(kafkaRefusal({ understands: known, mechanisms: [] }, undefined)).toMatch(/^it is older than 2\.4/)
  })

  test.each([
    [['PLAIN', 'GSSAPI'], undefined, `it wants a password (plain, gssapi); set ${variables}`],
    [[], sasl, `it takes no password; unset ${variables}, or name the port that takes one`],
    [['PLAIN'], sasl, 'it takes plain, and KAFKA_SASL_MECHANISM is scram-sha-256'],
  ])('that takes %j is refused by who has %j', (mechanisms, have, why) => {
    expect(kafkaRefusal({ understands, mechanisms }, have)).toBe(why)
  })
})
