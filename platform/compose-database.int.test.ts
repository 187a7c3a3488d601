import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openOldPostgres } from '../test/support/old-postgres.ts'
import { openTestDatabase } from '../test/support/postgres.ts'
import { startTlsPostgres, type TlsPostgres } from '../test/support/tls-postgres.ts'
import { provideDatabase } from './compose-database.ts'
import { readConfig } from './config.ts'
import { openDatabase } from './database.ts'
import { StartupError } from './failures.ts'
import { createLifecycle } from './lifecycle.ts'
import { silentLogger as logger } from './logging.ts'

const provide = (url: string): Promise<string> =>
  provideDatabase({
    config: readConfig({ DATABASE_URL: url }),
    ...{ logger, lifecycle: createLifecycle(logger, 1_000), stopping: new AbortController().signal },
  })

/** What an operator reads: at once, though a start waits a minute for a server that is away. */
const refusal = async (url: string): Promise<string> => {
  const failure = await provide(url).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(StartupError)
  return (failure as Error).message
}

describe('a PostgreSQL that demands TLS', () => {
  let server: TlsPostgres
  let directory: string
  beforeAll(async () => {
    server = await startTlsPostgres()
    directory = await mkdtemp(join(tmpdir(), 'orderlog-ca-'))
    await writeFile(join(directory, 'other.pem'), rootCertificates[0] ?? '')
  })
  afterAll(async () => {
    await server?.stop()
    if (directory) await rm(directory, { recursive: true, force: true })
  })

  const sentence = (why: RegExp) =>
    new RegExp(`^DATABASE_URL names a PostgreSQL on 127\\.0\\.0\\.1:\\d+ that cannot be used: ${why.source}\\.$`)
  const password = () => new URL(server.url).password

  test('is used over TLS when its authority is known', async () => {
    const url = await provide(`${server.url}?sslmode=verify-full&sslrootcert=${server.caFile}`)
    const database = openDatabase(url, { max: 1, logger })
    try {
      expect(await database.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([{ ssl: true }])
    } finally {
      await database.close()
    }
  })

  test.each([
    ['nobody knows its authority', () => '?sslmode=verify-full', /self-signed certificate.*/],
    [
      'another authority is trusted',
      () => `?sslmode=verify-full&sslrootcert=${join(directory, 'other.pem')}`,
      /self-signed certificate.*/,
    ],
    [
      'the file of the authority is missing',
      () => `?sslmode=verify-full&sslrootcert=${join(directory, 'none.pem')}`,
      /ENOENT: .*none\.pem'/,
    ],
    ['it is spoken to in clear text', () => '', /no pg_hba\.conf entry for host .*, no encryption/],
  ])('is refused in one sentence when %s', async (_, options, why) => {
    const said = await refusal(server.url + options())
    expect(said).toMatch(sentence(why))
    expect(said).not.toContain(password())
  })

  test('is refused when its certificate is for another host', async () => {
    const url = new URL(`${server.url}?sslmode=verify-full&sslrootcert=${server.caFile}`)
    url.hostname = 'localhost'
    expect(await refusal(url.href)).toMatch(
      /^DATABASE_URL names a PostgreSQL on localhost:\d+ that cannot be used: .*does not match certificate's altnames.*\.$/,
    )
  })

  test('is refused when its password is wrong', async () => {
    const url = new URL(`${server.url}?sslmode=verify-full&sslrootcert=${server.caFile}`)
    url.password = 'not-the-password'
    const said = await refusal(url.href)
    expect(said).toMatch(sentence(/password authentication failed for user "orderlog"/))
    expect(said).not.toContain('not-the-password')
  })
})

test('a PostgreSQL without TLS is refused in one sentence when TLS is asked for', async () => {
  const { url, drop } = await openTestDatabase({ migrated: false, max: 1 })
  try {
    const said = await refusal(`${url}?sslmode=verify-full`)
    expect(said).toMatch(
      /^DATABASE_URL names a PostgreSQL on \S+ that cannot be used: The server does not support SSL connections\.$/,
    )
  } finally {
    await drop()
  }
})

test('a PostgreSQL that is too old is refused in one sentence', async () => {
  const old = await openOldPostgres('130022')
  try {
    expect(await refusal(`postgres://ada:s3cret@${old.host}/orderlog`)).toBe(
      `DATABASE_URL names a PostgreSQL 13 on ${old.host}; Orderlog needs 14 or newer.`,
    )
  } finally {
    await old.close()
  }
})
