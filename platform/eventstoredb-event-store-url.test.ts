import { expect, test } from 'vitest'
import { createEventStoreDbClient } from './eventstoredb-event-store-client.ts'
import { readEventStoreDbUrl } from './eventstoredb-event-store-url.ts'
import { StartupError } from './failures.ts'

test.each([
  ['esdb://node:2113', 'node:2113'],
  ['esdb://node:2113?tls=false', 'node:2113'],
  ['esdb://node', 'node'],
  ['esdb://user:secret@node:2113?tls=true', 'node:2113'],
  [
    'esdb://user:secret%3A%40@10.0.0.1:2113,10.0.0.2:2113/?nodePreference=leader&tls=true',
    '10.0.0.1:2113,10.0.0.2:2113',
  ],
  ['esdb+discover://user:secret@cluster.example', 'cluster.example'],
])('%s is an address', (url, hosts) => {
  expect(readEventStoreDbUrl(url)).toEqual({ url, hosts, credentialsIgnored: false })
})

test('credentials that would not be sent are noticed', () => {
  expect(readEventStoreDbUrl('esdb://user:secret@node:2113?tls=false').credentialsIgnored).toBe(true)
})

test.each([
  ['http://user:secret@node:2113', 'EVENTSTORE_URL is no address'],
  ['esdb://user:sec/ret@node', 'EVENTSTORE_URL is no address'],
  ['esdb://', 'EVENTSTORE_URL is no address'],
  ['esdb://secret@node', 'EVENTSTORE_URL must hold both user and password'],
  ['esdb://user:secret:more@node', 'a ":" in either is written as %3A'],
  ['esdb://user:secret@node?tlsVerifyCert=false', 'option "tlsverifycert" that is not supported'],
  ['esdb://user:secret@node?throwOnAppendFailure=false', 'option "throwonappendfailure" that is not supported'],
  ['esdb://user:secret@node?tls=secret', 'must say tls=true or tls=false'],
  ['esdb://user:secret@node?tls', 'no value for its option "tls"'],
])('%s is refused in one sentence without its secrets', (url, message) => {
  let error: unknown
  try {
    readEventStoreDbUrl(url)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(StartupError)
  expect(String(error)).toContain(message)
  expect(String(error)).not.toContain('secret')
})

test.each([
  ['esdb://user:secret@node?tlsCAFile=/no/such/secret.pem', 'file that cannot be read'],
  ['esdb://user:secret@node?keepAliveInterval=secret', 'an option whose value the client does not take'],
])('what the client itself refuses is told without its words: %s', (url, message) => {
  expect(() => createEventStoreDbClient(url)).toThrow(StartupError)
  expect(() => createEventStoreDbClient(url)).toThrow(message)
  expect(() => createEventStoreDbClient(url)).not.toThrow('secret')
})
