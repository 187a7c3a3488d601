import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'
import { eventually } from '../support/eventually.ts'
import { nginx, openProxy, type ReverseProxy } from '../support/nginx.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'

const name = `the address of a client${nginx ? '' : ' (left out: nginx is not installed)'}`
/** Nobody's here: of a network that is for documentation. */
const forged = '203.0.113.7'

describe.skipIf(!nginx)(name, () => {
  let database: TestDatabase
  let home: PlatformHome
  let platform: PlatformProcess
  let proxy: ReverseProxy

  beforeAll(async () => {
    database = await openTestDatabase({ migrated: false, max: 1 })
    home = await openHome()
    // Whose request met an engine that is away is logged: here, whoever searches.
    platform = await home.start(['read-api'], {
      ...{ DATABASE_URL: database.url, ELASTICSEARCH_URL: `http://127.0.0.1:${await choosePort()}` },
      ...{ ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info', ORDERLOG_TRUSTED_PROXIES: '127.0.0.1' },
    })
    const urls = [platform.url]
    proxy = await openProxy({ write_side: urls, read_api: urls, sagas: urls })
  })
  afterAll(async () => {
    await proxy?.close()
    await home?.close()
    await database?.drop()
  })

  /** The client that the platform takes a request for, sent from this address of the machine. */
  const seenAs = async (url: string, localAddress: string, headers: Readonly<Record<string, string>>) => {
    const seen = platform.log.length
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(`${url}/v1/search/products?q=cup`, { localAddress, headers, agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode))
      })
        .on('error', reject)
        .end()
    })
    expect(status).toBe(503)
    const line = await eventually(
      async () => platform.log.slice(seen).find((said) => said.includes('a request met an engine that is away')),
      (found) => found !== undefined,
      { what: 'the line of the request' },
    )
    return JSON.parse(line ?? '').client
  }

  test.each([
    ['alone', forged],
    ['with the proxy behind it', `${forged}, 127.0.0.1`],
    ['with another client behind it', `${forged}, 127.0.0.9`],
  ])('is the one that nginx sees, whatever the client says of itself: %s', async (_, said) => {
    expect(await seenAs(proxy.url, '127.0.0.2', { 'X-Forwarded-For': said })).toBe('127.0.0.2')
  })

  test('is the one that nginx sees when the client says nothing', async () => {
    expect(await seenAs(proxy.url, '127.0.0.2', {})).toBe('127.0.0.2')
  })

  test('is believed from a trusted proxy alone: past nginx a client is who it is', async () => {
    expect(await seenAs(platform.url, '127.0.0.3', { 'X-Forwarded-For': forged })).toBe('127.0.0.3')
    expect(await seenAs(platform.url, '127.0.0.1', { 'X-Forwarded-For': forged })).toBe(forged)
  })
})
