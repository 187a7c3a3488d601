import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../test/support/self-signed.ts'
import { type ElasticsearchAddress, openElasticsearch } from './elasticsearch-client.ts'
import { checkElasticsearch, elasticsearchHealth } from './elasticsearch-health.ts'
import { EngineUnavailable, StartupError } from './failures.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A server that answers like an Elasticsearch, as far as it is asked. */
const serve = async (answer: RequestListener, tls?: { key: string; cert: string }): Promise<string> => {
  const listener: RequestListener = (request, response) => {
    response.setHeader('x-elastic-product', 'Elasticsearch')
    response.setHeader('content-type', 'application/vnd.elasticsearch+json;compatible-with=9')
    answer(request, response)
  }
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address() as AddressInfo
  return `${tls ? 'https' : 'http'}://elastic:top%2Fsecret@127.0.0.1:${port}`
}

const refusing =
  (status: number, type: string): RequestListener =>
  (_request, response) => {
    response.statusCode = status
    response.end(JSON.stringify({ error: { type, reason: 'because' }, status }))
  }

const running =
  (version: string): RequestListener =>
  (request, response) => {
    const nodes = { a: { version } }
    response.end(JSON.stringify(request.url?.startsWith('/_nodes') ? { nodes } : { status: 'green' }))
  }

const check = async (address: ElasticsearchAddress): Promise<void> => {
  const engine = openElasticsearch(address)
  closing.unshift(engine.close)
  await checkElasticsearch(engine, address.url)
}

const failureOf = async (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: Error) => error,
  )

describe('the look at Elasticsearch when Orderlog starts', () => {
  it('finds one that serves, also when it may not look at the cluster', async () => {
    await check({ url: await serve(running('9.4.3')) })
    await check({ url: await serve(refusing(403, 'security_exception')) })
  })

  it('sends user and password decoded, or the API key instead of them', async () => {
    const seen: (string | undefined)[] = []
    const url = await serve((request, response) => {
      seen.push(request.headers.authorization)
      running('9.0.0')(request, response)
    })
    await check({ url })
    await check({ url, apiKey: 'a2V5' })
    const basic = `Basic ${Buffer.from('elastic:top/secret').toString('base64')}`
    expect(seen).toEqual([basic, basic, 'ApiKey a2V5', 'ApiKey a2V5'])
  })

  it.each([
    ['a wrong password', refusing(401, 'security_exception'), 'it refuses user and password, or the API key (401).'],
    ['version 7', running('7.17.0'), 'it is version 7.17.0, and 9 is the oldest that serves.'],
    ['version 8', refusing(400, 'media_type_header_exception'), 'it is older than version 9.'],
    [
      'something else',
      ((_request, response) => response.removeHeader('x-elastic-product') ?? response.end('{}')) as RequestListener,
      'what answers there is no Elasticsearch.',
    ],
  ])('says in one sentence what is wrong: %s', async (_, answer, why) => {
    const url = await serve(answer)
    const error = await failureOf(check({ url }))
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toBe(
      `ELASTICSEARCH_URL names an Elasticsearch on ${new URL(url).host} that cannot be used: ${why}`,
    )
  })

  it('believes a certificate of the given authority only', async () => {
    const url = await serve(running('9.4.3'), selfSigned)
    await check({ url, ca: selfSigned.cert })
    const error = await failureOf(check({ url }))
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toMatch(
      /^ELASTICSEARCH_URL .* on 127\.0\.0\.1:\d+ .*: TLS fails \(.*\); see ELASTICSEARCH_CA_FILE\.$/,
    )
  })

  it('leaves it to the caller to wait for one that is not there, is starting, or speaks no TLS', async () => {
    const url = await serve(refusing(503, 'cluster_block_exception'))
    const plain = url.replace('http:', 'https:')
    for (const address of ['http://elastic:secret@127.0.0.1:1', url, plain]) {
      const error = await failureOf(check({ url: address }))
      expect(address === plain ? [StartupError, EngineUnavailable] : [EngineUnavailable]).toContain(error.constructor)
      expect(error.message).not.toMatch(/secret/)
    }
  })

  it('keeps what was asked, and by whom, out of its errors', async () => {
    const engine = openElasticsearch({ url: await serve(refusing(400, 'parsing_exception')) })
    closing.unshift(engine.close)
    const error = await failureOf(
      engine.write((client, options) => client.index({ index: 'a', document: { name: 'Ada Lovelace' } }, options)),
    )
    expect(error.message).toBe('Elasticsearch refuses the request: parsing_exception (400)')
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/Lovelace|secret|Basic/)
    expect(error.cause).toBeUndefined()
  })

  it('is not ready as long as it does not answer in time', async () => {
    const held: (() => void)[] = []
    const engine = openElasticsearch(
      { url: await serve((_, response) => void held.push(() => response.end())) },
      { pingMs: 50 },
    )
    closing.unshift(engine.close)
    await expect(async () => elasticsearchHealth(engine)()).rejects.toThrow('no answer within 50 ms')
    for (const release of held) release()
  })
})
