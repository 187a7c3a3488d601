import { Client, errors } from '@elastic/elasticsearch'
import { EngineUnavailable } from './failures.ts'

/** Where an Elasticsearch is and how to be let in. Nothing of it but the host may be printed. */
export interface ElasticsearchAddress {
  /** `https://user:password@host:9200/path`; user and password are optional. */
  readonly url: string
  /** Base64 API key; goes before user and password. */
  readonly apiKey?: string | undefined
  /** Certificates (PEM) of those who may have signed the server's; default: those that Node.js trusts. */
  readonly ca?: string | undefined
}

/**
 * The index that was asked for does not exist: not built yet, or deleted. Transient, as whoever writes it makes it anew
 * once that is noticed.
 */
export class IndexMissing extends EngineUnavailable {
  constructor() {
    super('Elasticsearch', new Error('the index does not exist'))
  }
}

/** User and password, or the API key, do not serve (401) or may not do this (403). Transient: an operator will help. */
export class EngineRefusesUs extends EngineUnavailable {
  readonly status: number
  constructor(status: number) {
    super('Elasticsearch', new Error(`it refuses our credentials (${status})`))
    this.status = status
  }
}

/** The engine has looked at a request and refuses it; asking again changes nothing. */
export class RequestRefused extends Error {
  readonly status: number
  readonly type: string
  constructor(type: string, status: number) {
    super(`Elasticsearch refuses the request: ${type} (${status})`)
    this.status = status
    this.type = type
  }
}

/** The error that the engine names, `index_not_found_exception`; of the client's own errors their class. */
const typeOf = (error: errors.ResponseError): string => {
  const body: unknown = error.body
  const named = (body as { error?: { type?: unknown } } | undefined)?.error?.type
  return typeof named === 'string' ? named : `status ${error.statusCode}`
}

/**
 * What the client throws, told apart. Only type and status are kept: the client's errors carry request and answer, with
 * credentials and personal data in them, and would be logged with them.
 */
const translated = (error: unknown): unknown => {
  if (!(error instanceof errors.ElasticsearchClientError)) return error
  const unavailable = (reason: string) => new EngineUnavailable('Elasticsearch', new Error(reason))
  if (error instanceof errors.ResponseError) {
    const status = error.statusCode ?? 0
    const type = typeOf(error)
    if (status === 401 || status === 403) return new EngineRefusesUs(status)
    if (status === 429 || status >= 500) return unavailable(`${type} (${status})`)
    return type === 'index_not_found_exception' ? new IndexMissing() : new RequestRefused(type, status)
  }
  if (error instanceof errors.SerializationError || error instanceof errors.ConfigurationError) return error
  if (error instanceof errors.ProductNotSupportedError) return new RequestRefused('it is no Elasticsearch', 0)
  return unavailable(error.message)
}

/** One request; `signal` ends it in time. */
type Request<T> = (client: Client, options: { readonly signal: AbortSignal }) => Promise<T>

/**
 * Connections to Elasticsearch, its failures told apart. Each request ends in bounded time, whatever it is that hangs:
 * connecting, the answer's head or its body. Nothing is retried here: a repeated compare-and-set would find its own first
 * try and take it for another's.
 */
export interface Elasticsearch {
  /** Something that somebody waits for. @throws EngineUnavailable, IndexMissing, RequestRefused */
  query<T>(request: Request<T>): Promise<T>
  /** Something that may take longer: the engine may be busy merging. @throws as `query` */
  write<T>(request: Request<T>): Promise<T>
  /** Whether it answers at all. @throws as `query` */
  ping<T>(request: Request<T>): Promise<T>
  close(): Promise<void>
}

/** `host:port` of an address, for messages. */
export const hostOf = (url: string): string => {
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`
}

/** How long each kind of request may take, milliseconds. */
export interface Patience {
  readonly queryMs: number
  readonly writeMs: number
  readonly pingMs: number
}

/** @param patience default: 5 s for queries, 30 s for writes, 0.9 s for pings */
export const openElasticsearch = (
  { url, apiKey, ca }: ElasticsearchAddress,
  patience: Partial<Patience> = {},
): Elasticsearch => {
  const node = new URL(url)
  const username = decodeURIComponent(node.username)
  const password = decodeURIComponent(node.password)
  node.username = ''
  node.password = ''
  const client = new Client({
    node: node.href,
    maxRetries: 0,
    redaction: { type: 'remove' },
    ...(apiKey ? { auth: { apiKey } } : username ? { auth: { username, password } } : {}),
    ...(ca ? { tls: { ca } } : {}),
  })
  const within =
    (ms: number) =>
    async <T>(request: Request<T>): Promise<T> => {
      const signal = AbortSignal.timeout(ms)
      try {
        return await request(client, { signal })
      } catch (error) {
        if (signal.aborted) throw new EngineUnavailable('Elasticsearch', new Error(`no answer within ${ms} ms`))
        throw translated(error)
      }
    }
  return {
    query: within(patience.queryMs ?? 5_000),
    write: within(patience.writeMs ?? 30_000),
    ping: within(patience.pingMs ?? 900),
    close: () => client.close(),
  }
}
