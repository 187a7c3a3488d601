import { type EventStoreDbClient, typeOf } from './eventstoredb-event-store-client.ts'
import { EngineUnavailable, StartupError } from './failures.ts'

/** The first version that tells an event's position in the log to whoever reads its stream. */
const oldestVersion = [22, 6] as const

const isTooOld = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return !(major > oldestVersion[0] || (major === oldestVersion[0] && minor >= oldestVersion[1]))
}

/** What Node.js and OpenSSL say when the two sides do not agree about TLS. */
const tlsTrouble = /certificate|self.signed|altname|SSL|TLS|EPROTO|wrong version number|unable to verify/i

/** Why waiting will not mend it; undefined when it may. */
const hopeless = (error: unknown): string | undefined => {
  if (!(error instanceof EngineUnavailable)) return undefined
  if (typeOf(error.cause) === 'access-denied')
    return 'refuses the user and password it gives, or does not let that user read $all and write'
  const reason = error.cause instanceof Error ? error.cause.message : ''
  return tlsTrouble.test(reason)
    ? `cannot be trusted or does not speak TLS (${reason}); see tls and tlsCAFile`
    : undefined
}

/**
 * Asks a server once whether it can hold the log.
 *
 * @param probe reads and writes what the log needs to be usable
 * @throws EngineUnavailable while it does not answer; StartupError, one sentence naming variable and host, for a wrong
 * user, wrong TLS and too old a server
 */
export const checkServer = async (
  client: EventStoreDbClient,
  hosts: string,
  probe: () => Promise<unknown>,
): Promise<void> => {
  let version: string
  try {
    await probe()
    version = await client.serverVersion()
  } catch (error) {
    const reason = hopeless(error)
    if (reason === undefined) throw error
    throw new StartupError(`EVENTSTORE_URL names an EventStoreDB on ${hosts} that ${reason}.`, { cause: error })
  }
  if (isTooOld(version))
    throw new StartupError(
      `EVENTSTORE_URL names an EventStoreDB ${version} on ${hosts}; Orderlog needs ${oldestVersion.join('.')} or newer.`,
    )
}
