import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { Redis, type RedisOptions } from 'ioredis'
import { EngineUnavailable, StartupError } from './failures.ts'
import type { Logger } from './logging.ts'
import { backOffMs } from './pause.ts'
import { redisRefusal } from './redis-refusals.ts'

/** A Lua script: sent whole once per server, by its hash from then on. */
export interface Script {
  readonly text: string
  readonly sha: string
}

export const defineScript = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

export interface RedisConnection {
  /** `host:port`, without user and password. */
  readonly host: string
  /**
   * Runs commands. Whatever goes wrong between here and Redis, and whatever Redis refuses, is `EngineUnavailable`:
   * nothing that Redis says is the fault of an event.
   */
  run<Result>(work: (client: Redis) => Promise<Result>): Promise<Result>
  evaluate<Result>(script: Script, keys: readonly string[], values: readonly (string | number)[]): Promise<Result>
  /**
   * Whether this Redis can be worked with: reachable, new enough, writable, not evicting.
   *
   * @throws StartupError when trying again makes no sense, in one sentence; EngineUnavailable when it does
   */
  check(): Promise<void>
  close(): void
}

/** IPv6 addresses stand in brackets in a URL only. */
const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

const tlsOptions = (host: string, ca: string | undefined) => ({
  ...(isIP(host) ? {} : { servername: host }),
  ...(ca === undefined ? {} : { ca }),
})

const optionsOf = (url: URL, ca: string | undefined, timeoutMs: number): RedisOptions => ({
  host: hostOf(url),
  port: Number(url.port || 6379),
  db: Number(url.pathname.slice(1) || 0),
  ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
  ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
  ...(url.protocol === 'rediss:' ? { tls: tlsOptions(hostOf(url), ca) } : {}),
  protocol: 2,
  connectionName: 'orderlog',
  connectTimeout: timeoutMs,
  commandTimeout: timeoutMs,
  // Counts only while replies are awaited: a server that hangs loses its connection, and what waits is refused.
  socketTimeout: timeoutMs,
  // Nothing waits unseen for a server that is away, and no script is sent a second time by itself.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: (times) => backOffMs(times - 1),
  // A primary that has become a replica: the name may lead to the new primary by now.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
})

const noConnection = new Error('there is no connection to it')

/** The address, checked; it may hold a password and is therefore never repeated. @throws StartupError */
const parse = (address: string, variable: string): URL => {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url && /^rediss?:$/.test(url.protocol) && url.hostname !== '' && /^(\/\d*)?$/.test(url.pathname)) return url
  throw new StartupError(
    `${variable} is no address like redis://user:password@host:6379/0 (rediss:// for TLS); in it, characters such as "@", "/" and "#" of a password are written as %40, %2F and %23.`,
  )
}

/**
 * Opens one connection to a Redis; it is made again, with back-off, whenever it is lost.
 *
 * @param options.ca PEM of the authority that signed the server's certificate; default: those that Node.js trusts
 * @param options.timeoutMs default 5,000; for a connection, and for the answer to a command
 * @param options.variable names the setting in what an operator reads
 * @throws StartupError when the address is none
 */
export const openRedis = (options: {
  readonly url: string
  readonly ca?: string | undefined
  readonly logger: Logger
  readonly timeoutMs?: number
  readonly variable?: string
}): RedisConnection => {
  const { ca, logger, timeoutMs = 5_000, variable = 'REDIS_URL' } = options
  const url = parse(options.url, variable)
  const host = `${url.hostname}:${url.port || 6379}`
  const client = new Redis(optionsOf(url, ca, timeoutMs))
  // Why there is no connection: commands that are refused meanwhile do not say.
  let trouble: Error | undefined
  let told: string | undefined
  client.on('error', (raised: Error) => {
    const silent = url.protocol === 'rediss:' && (raised as NodeJS.ErrnoException).code === 'ETIMEDOUT'
    const error = silent ? new Error('it does not answer to TLS (rediss://) in time', { cause: raised }) : raised
    trouble = error
    if (told !== error.message) logger.warn({ host, error: error.message }, 'Redis: the connection has failed')
    told = error.message
  })
  client.on('ready', () => {
    if (told !== undefined) logger.info({ host }, 'Redis: connected again')
    // A database that does not exist is refused before this, and the connection made nevertheless.
    if (!trouble || !/DB index/.test(trouble.message)) trouble = undefined
    told = undefined
  })

  /** Until the first attempt to connect has come to something. */
  const settled = async (): Promise<void> => {
    if (client.status === 'ready' || client.status === 'end' || trouble) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        client.off('ready', done).off('error', done).off('close', done)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs + 250)
      client.on('ready', done).on('error', done).on('close', done)
    })
  }

  const run: RedisConnection['run'] = async (work) => {
    await settled()
    try {
      return await work(client)
    } catch (error) {
      throw new EngineUnavailable('Redis', client.status === 'ready' ? error : (trouble ?? noConnection))
    }
  }

  const evaluate: RedisConnection['evaluate'] = <Result>(
    { sha, text }: Script,
    keys: readonly string[],
    values: readonly (string | number)[],
  ) =>
    run(async (redis) => {
      try {
        return (await redis.evalsha(sha, keys.length, ...keys, ...values)) as Result
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return (await redis.eval(text, keys.length, ...keys, ...values)) as Result
      }
    })

  return {
    host,
    run,
    evaluate,
    check: async () => {
      let refusal: string | undefined
      try {
        const info = await run((redis) => redis.info())
        refusal = redisRefusal({ info, trouble })
      } catch (error) {
        refusal = error instanceof EngineUnavailable ? redisRefusal({ trouble: error.cause }) : undefined
        if (refusal === undefined) throw error
      }
      if (refusal !== undefined)
        throw new StartupError(`${variable} names a Redis on ${host} that cannot be used: ${refusal}.`)
    },
    close: () => client.disconnect(),
  }
}
