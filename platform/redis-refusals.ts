/** ZMSCORE is what the boards need most. */
const oldestVersion = [6, 2] as const

const facts = (info: string): ReadonlyMap<string, string> =>
  new Map(
    info.split('\r\n').flatMap((line): [string, string][] => {
      const at = line.indexOf(':')
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : []
    }),
  )

const refusalOfServer = (info: string): string | undefined => {
  const fact = facts(info)
  const version = fact.get('redis_version') ?? 'unknown'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = oldestVersion
  if (!(major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)))
    return `its version is ${version}, and ${oldestVersion.join('.')} is the oldest that will do`
  const policy = fact.get('maxmemory_policy') ?? 'noeviction'
  // Policies named volatile-* take only keys with a time to live, and ours have none.
  if (policy.startsWith('allkeys-') && fact.get('maxmemory') !== '0')
    return `it throws away keys when its memory is full (maxmemory-policy ${policy}); set noeviction`
  return undefined
}

/** Codes and messages of Node.js and OpenSSL when two ends do not agree on TLS or do not trust each other. */
const tlsTrouble =
  /certificate|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|CERT_|ERR_TLS|ERR_SSL|EPROTO|wrong version number|packet length too long/i

/**
 * Why a Redis can never be worked with as it is, in half a sentence; undefined when it can, or when it may later.
 *
 * @param found.info its answer to INFO
 * @param found.trouble why there is no connection to it
 */
export const redisRefusal = (found: { readonly info?: string; readonly trouble?: unknown }): string | undefined => {
  const { info, trouble } = found
  if (trouble instanceof Error) {
    const text = `${(trouble as { code?: unknown }).code ?? ''} ${trouble.message}`
    if (/WRONGPASS|invalid password|invalid username/.test(text)) return 'user name or password is wrong'
    if (/NOAUTH/.test(text)) return 'it wants a password, and the address has none'
    if (/NOPERM/.test(text)) return `the user may not do what is needed (${trouble.message})`
    if (/DB index/.test(text)) return 'it has no database of that number'
    if (/Protocol error, got|RESP type/.test(text)) return 'what answers there is no Redis'
    if (tlsTrouble.test(text)) return `TLS failed (${trouble.message}); see REDIS_CA_FILE, and rediss:// or redis://`
  }
  return info === undefined ? undefined : refusalOfServer(info)
}
