import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'
import { eventually } from './eventually.ts'
import { selfSigned } from './self-signed.ts'

/** The jars of a Kafka 4. */
const libs = process.env.ORDERLOG_TEST_KAFKA_LIBS

const versionOf = (java: string): number =>
  Number(/version "(\d+)/.exec(spawnSync(java, ['-version'], { encoding: 'utf8' }).stderr ?? '')?.[1] ?? 0)

/** The first Java on this machine that is new enough for it. */
const findJava = (): string | undefined => {
  const machines = '/usr/lib/jvm'
  const homes = existsSync(machines) ? readdirSync(machines).map((name) => join(machines, name)) : []
  return [...(process.env.JAVA_HOME ? [process.env.JAVA_HOME] : []), ...homes]
    .map((home) => join(home, 'bin', 'java'))
    .find((java) => existsSync(java) && versionOf(java) >= 17)
}

const java = libs && findJava()

/** Why no Kafka of a test's own can be started; empty: one can. */
export const noKafkaServer = !libs
  ? 'ORDERLOG_TEST_KAFKA_LIBS names no folder of jars'
  : java
    ? ''
    : 'there is no Java 17 or newer'

/** Whom the listeners with SASL know, by plain and by scram-sha-256. */
export const kafkaUser = { username: 'ada', password: 'xK9-open-sesame' } as const

/** A Kafka of a test's own that listens in every way there is: `host:port` of each, with the certificate of `selfSigned`. */
export interface KafkaServer {
  readonly plain: string
  readonly tls: string
  readonly sasl: string
  readonly saslTls: string
  /** SIGKILL, and its data are gone. */
  stop(): Promise<void>
}

const protocols = { plain: 'PLAINTEXT', tls: 'SSL', sasl: 'SASL_PLAINTEXT', saslTls: 'SASL_SSL' } as const

type Listener = keyof typeof protocols

const propertiesOf = (addresses: Readonly<Record<Listener, string>>, controller: string, directory: string): string => {
  const listeners = Object.entries(protocols).map(([name, protocol]) => `${protocol}://${addresses[name as Listener]}`)
  const login = 'org.apache.kafka.common.security'
  const { username, password } = kafkaUser
  const sasl = ['sasl_plaintext', 'sasl_ssl'].flatMap((listener) => [
    `listener.name.${listener}.plain.sasl.jaas.config=${login}.plain.PlainLoginModule required user_${username}="${password}";`,
    `listener.name.${listener}.scram-sha-256.sasl.jaas.config=${login}.scram.ScramLoginModule required;`,
  ])
  return [
    ...['process.roles=broker,controller', 'node.id=1', `controller.quorum.voters=1@${controller}`],
    `listeners=${[...listeners, `CONTROLLER://${controller}`].join(',')}`,
    `advertised.listeners=${listeners.join(',')}`,
    `listener.security.protocol.map=${Object.values(protocols)
      .map((name) => `${name}:${name}`)
      .join(',')},CONTROLLER:PLAINTEXT`,
    ...['controller.listener.names=CONTROLLER', `log.dirs=${join(directory, 'data')}`],
    ...['offsets.topic.replication.factor=1', 'transaction.state.log.replication.factor=1'],
    ...['ssl.keystore.type=PEM', `ssl.keystore.location=${join(directory, 'keystore.pem')}`],
    ...['sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256', ...sasl],
    ...['log.cleaner.dedupe.buffer.size=16777216', ''],
  ].join('\n')
}

const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'

/** Whether anybody listens there. */
const listens = (address: string): Promise<boolean> =>
  new Promise((resolve) => {
    const [host = '', port] = address.split(':')
    const socket = connect(Number(port), host)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** Runs it until it is stopped; resolves once it listens everywhere. */
const run = async (program: string, args: readonly string[], log: string, addresses: readonly string[]) => {
  const file = await open(log, 'w')
  const child = spawn(program, args, { stdio: ['ignore', file.fd, file.fd] })
  await file.close()
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const kill = async (): Promise<void> => {
    if (ended()) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  try {
    await eventually(
      async () => ended() || (await Promise.all(addresses.map(listens))).every(Boolean),
      (settled) => settled,
      { what: 'Kafka listening', withinMs: 150_000, everyMs: 200 },
    )
    if (ended()) throw new Error(`Kafka ended: ${await readFile(log, 'utf8')}`)
    return kill
  } catch (error) {
    await kill()
    throw error
  }
}

/** @throws Error when `noKafkaServer` says why */
export const startKafkaServer = async (): Promise<KafkaServer> => {
  if (!libs || !java) throw new Error(noKafkaServer)
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-kafka-'))
  const remove = () => rm(directory, { recursive: true, force: true, maxRetries: 5 })
  try {
    const ports = new Set<number>()
    while (ports.size < 5) ports.add(await choosePort())
    const addresses = [...ports].map((port) => `127.0.0.1:${port}`)
    const [controller = '', plain = '', tls = '', sasl = '', saslTls = ''] = addresses
    const properties = join(directory, 'server.properties')
    await writeFile(properties, propertiesOf({ plain, tls, sasl, saslTls }, controller, directory))
    await writeFile(join(directory, 'keystore.pem'), `${selfSigned.key}${selfSigned.cert}`)
    const machine = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', quiet, '-cp', join(libs, '*')]
    const user = `SCRAM-SHA-256=[name=${kafkaUser.username},password=${kafkaUser.password}]`
    const format = ['format', '--cluster-id', '4L6g3nShT-eMCtK--X86sw', '--config', properties, '--add-scram', user]
    await promisify(execFile)(java, [...machine, 'kafka.tools.StorageTool', ...format])
    const log = join(directory, 'log')
    const kill = await run(java, [...machine, 'kafka.Kafka', properties], log, [plain, tls, sasl, saslTls])
    return { plain, tls, sasl, saslTls, stop: () => kill().then(remove) }
  } catch (error) {
    await remove()
    throw error
  }
}
