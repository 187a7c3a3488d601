import { type Environment, environmentSchema, type Values } from './environment.ts'
import { StartupError } from './failures.ts'

/** Engines that have variables beside the one that switches them on. */
const switches = { KAFKA_: 'KAFKA_BROKERS', REDIS_: 'REDIS_URL', ELASTICSEARCH_: 'ELASTICSEARCH_URL' } as const

/**
 * A variable that nothing comes of was meant to do something: a password of an engine that is not switched on, an
 * authority for a connection in clear text.
 *
 * @throws StartupError
 */
export const refuseWithoutEffect = (environment: Environment, value: Values): void => {
  for (const [prefix, engine] of Object.entries(switches))
    for (const name of Object.keys(environmentSchema.properties))
      if (name.startsWith(prefix) && environment[name] && value[engine] === undefined)
        throw new StartupError(
          `${name} is set and has no effect without ${engine}: set that as well, or unset ${name}.`,
        )
  const { KAFKA_CA_FILE, KAFKA_TLS, REDIS_CA_FILE, REDIS_URL } = value
  const { ELASTICSEARCH_CA_FILE, ELASTICSEARCH_API_KEY, ELASTICSEARCH_URL } = value
  const inClear = (name: string, how: string) =>
    new StartupError(`${name} is set, but without ${how} the connection is in clear text.`)
  if (KAFKA_CA_FILE !== undefined && !KAFKA_TLS) throw inClear('KAFKA_CA_FILE', 'KAFKA_TLS=true')
  if (REDIS_CA_FILE !== undefined && !REDIS_URL?.startsWith('rediss:'))
    throw inClear('REDIS_CA_FILE', 'rediss:// in REDIS_URL')
  if (ELASTICSEARCH_CA_FILE !== undefined && !ELASTICSEARCH_URL?.startsWith('https:'))
    throw inClear('ELASTICSEARCH_CA_FILE', 'https:// in ELASTICSEARCH_URL')
  if (ELASTICSEARCH_API_KEY !== undefined && /^https?:\/\/[^/?#]*@/.test(ELASTICSEARCH_URL ?? ''))
    throw new StartupError(
      'ELASTICSEARCH_API_KEY is set, and ELASTICSEARCH_URL has a user as well: give one of the two.',
    )
}
