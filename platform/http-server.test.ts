import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CommandRejected } from '../schemas/errors.ts'
import { Quantity, Sku, strict } from '../schemas/primitives.ts'
import { EngineUnavailable } from './failures.ts'
import { createHttpServer, type HttpServer } from './http-server.ts'
import { silentLogger } from './logging.ts'
import { createMetrics } from './metrics.ts'

let server: HttpServer

beforeEach(async () => {
  server = createHttpServer({ logger: silentLogger, metrics: createMetrics() })
  server.post(
    '/v1/things',
    { schema: { body: strict({ sku: Sku, quantity: Quantity }) } },
    async (request) => request.body,
  )
  server.get('/v1/things/:sku', { schema: { params: strict({ sku: Sku }) } }, async (request) => request.params)
  server.get('/v1/refused', async () => {
    throw new CommandRejected('out-of-stock', { sku: 'A', available: 2 })
  })
  server.get('/v1/away', async () => {
    throw new EngineUnavailable('PostgreSQL', new Error('connection refused'))
  })
  server.get('/v1/broken', async () => {
    throw new Error('a secret detail')
  })
  await server.ready()
})
afterEach(() => server.close())

const post = (payload: string | Buffer, contentType = 'application/json') =>
  server.inject({ method: 'POST', url: '/v1/things', payload, headers: { 'content-type': contentType } })

const thing = (sku: unknown, quantity: unknown) => JSON.stringify({ sku, quantity })

test.each<[string, () => ReturnType<typeof post>, number, string]>([
  ['broken JSON', () => post('{"sku": "A",'), 400, 'malformed-json'],
  ['an empty body', () => post(''), 400, 'malformed-json'],
  ['a body that is not JSON by name', () => post('<thing/>', 'application/xml'), 415, 'unsupported-media-type'],
  ['a body of a megabyte', () => post(thing('A'.repeat(1_000_000), 1)), 413, 'body-too-large'],
  [
    'a key that would change the prototype',
    () => post('{"__proto__": {}, "sku": "A", "quantity": 1}'),
    400,
    'malformed-json',
  ],
  ['an unknown member', () => post('{"sku": "A", "quantity": 1, "price": 1}'), 400, 'invalid-request'],
  ['a missing member', () => post('{"sku": "A"}'), 400, 'invalid-request'],
  ['a number in text', () => post(thing('A', '1')), 400, 'invalid-request'],
  ['a fraction', () => post(thing('A', 1.5)), 400, 'invalid-request'],
  ['a negative quantity', () => post(thing('A', -1)), 400, 'invalid-request'],
  ['a huge quantity', () => post(thing('A', 1e15)), 400, 'invalid-request'],
  ['an array for an object', () => post('[]'), 400, 'invalid-request'],
  ['an invalid id in the path', () => server.inject('/v1/things/%00'), 400, 'invalid-request'],
  ['text', () => post('A', 'text/plain'), 415, 'unsupported-media-type'],
  ['another charset', () => post(thing('A', 1), 'application/json; charset=utf-16'), 415, 'unsupported-media-type'],
  ['bytes that are not UTF-8', () => post(Buffer.from('{"sku": "\u00e9"}', 'latin1')), 400, 'malformed-json'],
  ['an unknown route', () => server.inject('/v1/nothing'), 404, 'route-not-found'],
  ['a path that cannot be decoded', () => server.inject('/v1/things/%zz'), 404, 'route-not-found'],
  ['a refusal', () => server.inject('/v1/refused'), 409, 'out-of-stock'],
  ['an engine that is away', () => server.inject('/v1/away'), 503, 'engine-unavailable'],
  ['a failure of the server', () => server.inject('/v1/broken'), 500, 'internal-error'],
])('%s is a problem document with a stable code', async (_, request, status, code) => {
  const reply = await request()
  expect(reply.statusCode).toBe(status)
  expect(reply.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  expect(reply.json()).toMatchObject({ code, status, type: `/docs/errors#${code}` })
})

test('a problem says where and what is wrong', async () => {
  const reply = await post(thing('A', 0))
  expect(reply.json()).toMatchObject({
    detail: 'body/quantity must be >= 1',
    problems: [{ path: '/quantity', message: 'must be >= 1' }],
  })
})

test('a method that the resource lacks is 405 and names those that it has', async () => {
  const reply = await server.inject({ method: 'DELETE', url: '/v1/things/A' })
  expect(reply.statusCode).toBe(405)
  expect(reply.headers.allow).toBe('GET')
  expect(reply.json()).toMatchObject({ code: 'method-not-allowed' })
})

test('the particulars of a refusal travel with it, those of a failure do not', async () => {
  expect((await server.inject('/v1/refused')).json()).toMatchObject({ sku: 'A', available: 2 })
  const failure = await server.inject('/v1/broken')
  expect(failure.body).not.toContain('secret')
  expect(failure.json().correlationId).toBe(failure.headers['x-correlation-id'])
})

test('a 503 says when to come back', async () => {
  expect((await server.inject('/v1/away')).headers['retry-after']).toBe('1')
})

test('a correlation id of the client is kept when it is a uuid, and replaced when it is not', async () => {
  const id = '0193b0c4-7d5e-7a60-9d37-0d6f3f1d2a01'
  const withId = (value: string) => server.inject({ url: '/v1/things/A', headers: { 'x-correlation-id': value } })
  expect((await withId(id)).headers['x-correlation-id']).toBe(id)
  expect((await withId('<script>')).headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/)
})

test('a page of another site may look and not touch', async () => {
  const from = (origin: string, method: 'GET' | 'POST', headers: Record<string, string> = {}) =>
    server.inject({ method, url: '/v1/things/A', headers: { origin, host: '127.0.0.1:3000', ...headers } })
  expect((await from('https://evil.example', 'POST')).json()).toMatchObject({ code: 'origin-not-allowed' })
  expect((await from('null', 'POST')).json()).toMatchObject({ code: 'origin-not-allowed' })
  expect((await from('https://evil.example', 'GET', { upgrade: 'websocket' })).statusCode).toBe(403)
  expect((await from('https://evil.example', 'GET')).statusCode).toBe(200)
  expect((await from('http://127.0.0.1:3000', 'POST')).json()).toMatchObject({ code: 'method-not-allowed' })
})

test('what is not HTTP is answered with a problem all the same', async () => {
  await server.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect({ host: '127.0.0.1', port: (server.server.address() as AddressInfo).port })
  socket.end('NONSENSE\r\n\r\n')
  const answer = await text(socket)
  expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/)
  expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'invalid-request' })
})

test.each([
  ['nobody', [], '127.0.0.1'],
  ['the proxy', ['127.0.0.1'], '203.0.113.7'],
  ['a network without the proxy', ['10.0.0.0/8'], '127.0.0.1'],
])('the address of the client is believed from who is trusted: %s', async (_, trustedProxies, expected) => {
  const behind = createHttpServer({ logger: silentLogger, metrics: createMetrics(), trustedProxies })
  behind.get('/client', async (request) => ({ client: request.ip }))
  const reply = await behind.inject({ url: '/client', headers: { 'x-forwarded-for': '203.0.113.7' } })
  expect(reply.json()).toEqual({ client: expected })
  await behind.close()
})
