import { StartupError } from './failures.ts'

/** What `EVENTSTORE_URL` says, without its secrets. */
export interface EventStoreDbAddress {
  /** As the client takes it. */
  readonly url: string
  /** `host:port`, or several with commas: fit for logs. */
  readonly hosts: string
  /** Name and password that are given but cannot be sent, because the connection is not encrypted. */
  readonly credentialsIgnored: boolean
}

/** The options that the client knows, in lower case. It prints the whole address, password and all, for any other. */
const known = new Set(
  ['tls', 'tlsCAFile', 'userCertFile', 'userKeyFile', 'connectionName', 'nodePreference', 'defaultDeadline']
    .concat(['discoveryInterval', 'gossipTimeout', 'maxDiscoverAttempts', 'keepAliveInterval', 'keepAliveTimeout'])
    .map((name) => name.toLowerCase()),
)

const form =
  /^esdb(\+discover)?:\/\/(?:(?<credentials>[^@/?]+)@)?(?<hosts>[A-Za-z0-9._-]+(?::\d+)?(?:,[A-Za-z0-9._-]+(?::\d+)?)*)\/?(?:\?(?<options>.+))?$/

/**
 * Reads the address of an EventStoreDB, without connecting.
 *
 * @throws StartupError one sentence that repeats nothing secret
 */
export const readEventStoreDbUrl = (url: string): EventStoreDbAddress => {
  const { credentials, hosts, options } = form.exec(url.trim())?.groups ?? {}
  if (!hosts)
    throw new StartupError(
      'EVENTSTORE_URL is no address like esdb://user:password@host:2113?tls=true or esdb+discover://cluster.example:2113; in it, characters such as "@", ":" and "/" of a password are written as %40, %3A and %2F.',
    )
  if (credentials && !/^[^:]+:[^:]+$/.test(credentials))
    throw new StartupError(
      'EVENTSTORE_URL must hold both user and password, or neither; a ":" in either is written as %3A.',
    )
  const given = new Map(
    (options ?? '').split('&').flatMap((option) => {
      const [name = '', value = ''] = option.split('=')
      return name ? [[name.toLowerCase(), value] as const] : []
    }),
  )
  for (const [name, value] of given) {
    if (!known.has(name)) throw new StartupError(`EVENTSTORE_URL has an option "${name}" that is not supported here.`)
    if (value === '') throw new StartupError(`EVENTSTORE_URL has no value for its option "${name}".`)
  }
  const tls = given.get('tls')
  if (tls !== undefined && tls !== 'true' && tls !== 'false')
    throw new StartupError('EVENTSTORE_URL must say tls=true or tls=false.')
  return { url: url.trim(), hosts, credentialsIgnored: credentials !== undefined && tls === 'false' }
}
