import { type Elasticsearch, EngineRefusesUs, hostOf, RequestRefused } from './elasticsearch-client.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import type { HealthCheck } from './health.ts'

/** The oldest whose mappings and queries are those that we use. */
const oldestMajor = 9

/** How Node.js says that the other end's certificate is not believed, or that it speaks no TLS. */
const certificate = /certificate|self-signed|altnames|SSL routines|wrong version number|packet length too long/i

/** What the engine may keep from us and still be used: an API key need not be allowed to look at the cluster. */
const unlessForbidden = async <T>(work: Promise<T>): Promise<T | undefined> => {
  try {
    return await work
  } catch (error) {
    if (error instanceof EngineRefusesUs && error.status === 403) return undefined
    throw error
  }
}

/** `ELASTICSEARCH_URL names an Elasticsearch on host:9200 that cannot be used: ...`, for the operator. */
const unusable = (url: string, why: string): StartupError =>
  new StartupError(`ELASTICSEARCH_URL names an Elasticsearch on ${hostOf(url)} that cannot be used: ${why}.`)

/**
 * Looks whether the engine can be used at all.
 *
 * @param url for messages; its user and password are not in them
 * @throws EngineUnavailable when it does not answer, or not yet; StartupError, one sentence, when waiting will not help
 */
export const checkElasticsearch = async (engine: Elasticsearch, url: string): Promise<void> => {
  try {
    await unlessForbidden(engine.ping((client, options) => client.cluster.health({ timeout: '1s' }, options)))
    const info = await unlessForbidden(
      engine.ping((client, options) => client.nodes.info({ filter_path: 'nodes.*.version' }, options)),
    )
    const old = Object.values(info?.nodes ?? {}).find(({ version }) => Number.parseInt(version, 10) < oldestMajor)
    if (old) throw unusable(url, `it is version ${old.version}, and ${oldestMajor} is the oldest that serves`)
  } catch (error) {
    if (error instanceof EngineRefusesUs && error.status === 401)
      throw unusable(url, 'it refuses user and password, or the API key (401)')
    // What an older one says to the media type that our client speaks.
    if (error instanceof RequestRefused && error.type === 'media_type_header_exception')
      throw unusable(url, `it is older than version ${oldestMajor}`)
    if (error instanceof RequestRefused) throw unusable(url, 'what answers there is no Elasticsearch')
    if (error instanceof EngineUnavailable && certificate.test(error.message))
      throw unusable(url, `TLS fails (${(error.cause as Error).message}); see ELASTICSEARCH_CA_FILE`)
    throw error
  }
}

/** Whether it answers, for `/health/ready`. */
export const elasticsearchHealth =
  (engine: Elasticsearch): HealthCheck =>
  async () => {
    await unlessForbidden(engine.ping((client, options) => client.cluster.health({ timeout: '500ms' }, options)))
    return { ok: true }
  }
