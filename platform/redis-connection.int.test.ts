import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { hasRedisServer, type RedisServer, startRedisServer } from '../test/support/redis-server.ts'
import { choosePort } from './embedded-postgres-postmaster.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { silentLogger as logger } from './logging.ts'
import { openRedis, type RedisConnection } from './redis-connection.ts'

describe.skipIf(!hasRedisServer)(
  `the connection to Redis${hasRedisServer ? '' : ' (left out: no redis-server here)'}`,
  () => {
    let server: RedisServer
    const opened: RedisConnection[] = []
    beforeAll(async () => {
      server = await startRedisServer()
    })
    afterAll(async () => {
      for (const redis of opened) redis.close()
      await server?.stop()
    })
    const open = (url: string, options: { ca?: string; timeoutMs?: number } = {}) => {
      const redis = openRedis({ url, logger, ...options })
      opened.push(redis)
      return redis
    }
    const failureOf = async (redis: RedisConnection): Promise<Error> => {
      const failure = await redis.check().catch((error: unknown) => error)
      if (!(failure instanceof Error)) throw new Error('it did not fail')
      return failure
    }
    /** What an operator reads, which never holds the password. */
    const sentence = async (redis: RedisConnection): Promise<string> => {
      const failure = await failureOf(redis)
      expect(failure, `${failure.message} ${String(failure.cause)}`).toBeInstanceOf(StartupError)
      expect(failure.message).toMatch(/^REDIS_URL names a Redis on 127\.0\.0\.1:\d+ that cannot be used: .*\.$/)
      expect(failure.message).not.toContain('secret')
      return failure.message
    }
    const on = (port: number, credentials = '') => `redis://${credentials}127.0.0.1:${port}`

    it('is there', async () => {
      const redis = open(server.url)
      await redis.check()
      expect(await redis.run((client) => client.ping())).toBe('PONG')
      expect(redis.host).toBe(`127.0.0.1:${server.port}`)
    })

    it('refuses an address that is none, without repeating it', () => {
      for (const url of [
        'http://secret@host',
        'redis://',
        'redis://:secret/x@host:6379',
        'redis://host/secret',
        'secret',
      ])
        expect(() => openRedis({ url, logger })).toThrow(/^REDIS_URL is no address like redis:\/\/(?!.*secret)/)
    })

    it('tells a password that is wrong or missing', async () => {
      const locked = await startRedisServer({ settings: ['--requirepass', 's3cret@/#'], password: 's3cret@/#' })
      try {
        expect(await sentence(open(on(locked.port, ':secret@')))).toContain('user name or password is wrong')
        expect(await sentence(open(on(locked.port)))).toContain('wants a password')
        await open(on(locked.port, `:${encodeURIComponent('s3cret@/#')}@`)).check()
      } finally {
        await locked.stop()
      }
    })

    it('tells a database that does not exist', async () => {
      expect(await sentence(open(`${server.url}/4711`))).toContain('no database of that number')
    })

    it('tells a Redis that throws keys away', async () => {
      const settings = ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']
      const evicting = await startRedisServer({ settings })
      try {
        expect(await sentence(open(evicting.url))).toContain('maxmemory-policy allkeys-lru')
        await evicting.command('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru')
        await open(evicting.url).check()
      } finally {
        await evicting.stop()
      }
    })

    it('tells what is no Redis', async () => {
      const web = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
      await new Promise((resolve) => web.once('listening', resolve))
      try {
        expect(await sentence(open(on((web.address() as AddressInfo).port)))).toContain('no Redis')
      } finally {
        web.close()
      }
    })

    it('speaks TLS with a certificate that it is told to trust, and tells one that it is not', async () => {
      const plain = await startRedisServer()
      const [key, certificate] = [join(plain.directory, 'key.pem'), join(plain.directory, 'certificate.pem')]
      const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
      const request = [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-keyout',
        key,
        '-out',
        certificate,
      ]
      execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' })
      const tlsPort = await choosePort()
      const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate]
      const server = await startRedisServer({
        settings: ['--tls-port', String(tlsPort), ...files, '--tls-auth-clients', 'no'],
      })
      const url = `rediss://127.0.0.1:${tlsPort}`
      try {
        const redis = open(url, { ca: readFileSync(certificate, 'utf8') })
        await redis.check()
        expect(await redis.run((client) => client.ping())).toBe('PONG')
        expect(await sentence(open(url))).toMatch(/TLS failed.*REDIS_CA_FILE/)
        const silent = await failureOf(open(`rediss://127.0.0.1:${server.port}`, { timeoutMs: 300 }))
        expect(silent.message).toMatch(/TLS/)
      } finally {
        await server.stop()
        await plain.stop()
      }
    })

    it('waits for nothing: one that is not there yet is unavailable, and found once it is', async () => {
      const later = await startRedisServer()
      await later.kill()
      const redis = open(later.url)
      try {
        const failure = await failureOf(redis)
        expect(failure).toBeInstanceOf(EngineUnavailable)
        expect(failure.message).toContain('ECONNREFUSED')
        await later.start()
        await eventually(
          () => redis.check(),
          () => true,
          { what: 'the connection' },
        )
      } finally {
        await later.stop()
      }
    })

    it('refuses commands, in bounded time, while the server hangs, and goes on when it goes on', async () => {
      const redis = open(server.url, { timeoutMs: 500 })
      const answers = () =>
        eventually(
          () => redis.check(),
          () => true,
          { what: 'the connection' },
        )
      await answers()
      server.pause()
      try {
        const asked = Array.from({ length: 20 }, () => failureOf(redis))
        for (const failure of await Promise.all(asked)) expect(failure).toBeInstanceOf(EngineUnavailable)
        expect(await failureOf(redis)).toBeInstanceOf(EngineUnavailable)
      } finally {
        server.resume()
      }
      await answers()
    })
  },
)
