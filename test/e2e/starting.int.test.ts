import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { becomesReady } from '../support/becomes-ready.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { Finished } from '../support/platform-process.ts'

const password = 'xK9-open-sesame'

/** What a person sees beside the log lines, which are JSON. */
const sentencesOf = ({ stderr }: Finished) => stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))

const failsWithOneSentence = (ended: Finished, sentence: RegExp): void => {
  expect(sentencesOf(ended)).toEqual([expect.stringMatching(/^orderlog: .*[.?]$/)])
  expect(ended.stderr).toMatch(sentence)
  expect(ended.stderr).not.toMatch(/\n\s+at /)
  expect(ended.stderr).not.toContain(password)
  expect(ended.stdout).toBe('')
  expect(ended.code).toBe(1)
}

describe('a start that cannot be', () => {
  let home: PlatformHome
  beforeAll(async () => {
    home = await openHome()
    await home.start()
  })
  afterAll(() => home.close())

  test('is told apart from the process that uses the data directory, which goes on undisturbed', async () => {
    failsWithOneSentence(
      await home.run(['start'], { ORDERLOG_PORT: '0' }),
      new RegExp(join(home.directory, 'postgres')),
    )
    failsWithOneSentence(await home.run(['migrate']), new RegExp(join(home.directory, 'postgres')))
    await becomesReady(home.url)
  })

  test('says that its port is taken, and leaves no PostgreSQL behind', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen({ port: 0, host: '127.0.0.1' }, resolve))
    const { port } = taken.address() as { port: number }
    const other = await openHome()
    try {
      failsWithOneSentence(
        await other.run(['start'], { ORDERLOG_PORT: String(port) }),
        new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is taken`),
      )
      expect(await other.postmaster()).toBeUndefined()
    } finally {
      taken.close()
      await other.close()
    }
  })

  test.each<readonly [variable: string, value: string]>([
    ['ORDERLOG_PORT', 'http'],
    ['ORDERLOG_PORT', '65536'],
    ['ORDERLOG_PORT', '-1'],
    ['ORDERLOG_PORT', '80.5'],
    ['ORDERLOG_HOST', '0.0.0.0'],
    ['ORDERLOG_HOST', 'example.com'],
    ['ORDERLOG_LOG_LEVEL', 'loud'],
    ['ORDERLOG_CURRENCY', 'euro'],
    ['ORDERLOG_DATABASE_CONNECTIONS', '0'],
    ['ORDERLOG_RESERVATION_DEADLINE_MS', 'soon'],
    ['ORDERLOG_SHUTDOWN_TIMEOUT_MS', '1'],
    ['ORDERLOG_DATA_DIRECTORY', '/tmp'],
    ['KAFKA_BROKERS', 'kafka://localhost'],
    ['REDIS_CA_FILE', '/etc/ssl/ca.pem'],
    ['ELASTICSEARCH_API_KEY', password],
    ['PAYMENT_GATEWAY_URL', 'https://localhost'],
    ['DATABASE_URL', `mysql://orderlog:${password}@localhost/orderlog`],
    ['DATABASE_URL', `postgres://orderlog:${password}#@localhost/orderlog`],
  ])('names a variable with a value that cannot be: %s=%s', async (variable, value) => {
    failsWithOneSentence(await home.run(['start'], { [variable]: value }), new RegExp(`orderlog: ${variable} `))
  })

  test('names a data directory that cannot be one', async () => {
    failsWithOneSentence(await home.run(['start'], { ORDERLOG_DATA_DIR: process.execPath }), /ENOTDIR/)
  })

  test.each<readonly [what: string, address: () => string | Promise<string>, sentence: RegExp]>([
    ['nobody answers', () => `postgres://orderlog:${password}@127.0.0.1:1/orderlog`, /127\.0\.0\.1:1 .*ECONNREFUSED/],
    ['nobody knows the host', () => `postgres://orderlog:${password}@nowhere.invalid/orderlog`, /nowhere\.invalid/],
    [
      'the password is wrong',
      async () => (await home.databaseUrl()).replace(/:[^:@]+@/, `:${password}@`),
      /password authentication failed/,
    ],
    [
      'there is no such database',
      async () => (await home.databaseUrl()).replace(/\/orderlog$/, '/nothing'),
      /"nothing" does not exist/,
    ],
    ['another protocol answers', () => home.url.replace('http://', `postgres://orderlog:${password}@`), /127\.0\.0\.1/],
  ])('names the PostgreSQL that it cannot use, and not the password: %s', async (_, address, sentence) => {
    const ended = await home.run(['start'], {
      DATABASE_URL: await address(),
      ORDERLOG_PORT: '0',
      ORDERLOG_ENGINE_WAIT_MS: '0',
    })
    failsWithOneSentence(ended, sentence)
    const secret = /:([^:@]+)@/.exec(await home.databaseUrl())?.[1] ?? ''
    expect(ended.stderr).not.toContain(secret)
  })

  test('status and forget say where they found nobody, or nonsense', async () => {
    failsWithOneSentence(await home.run(['status'], { ORDERLOG_PORT: '1' }), /No Orderlog answers on http:\/\/127/)
    failsWithOneSentence(await home.run(['forget', 'Ada Lovelace']), /is not the id of a customer/)
    failsWithOneSentence(await home.run(['forget', 'nobody']), /nobody was not forgotten: Nothing is known/)
  })
})

describe('the command line', () => {
  let home: PlatformHome
  beforeAll(async () => {
    home = await openHome()
  })
  afterAll(() => home.close())

  test.each([
    ['an unknown command', ['fly'], /unknown command 'fly'/],
    ['an unknown role', ['start', 'chef'], /'chef' is invalid.* write-side, projections, sagas, read-api, relay/],
    ['an unknown option', ['start', '--fast'], /unknown option '--fast'/],
    ['no orders at all', ['demo', '--orders', '0'], /'0' is invalid/],
    ['a number that is none', ['demo', '--rate', 'many'], /'many' is invalid/],
    ['nobody to forget', ['forget'], /missing required argument 'customer'/],
  ])('refuses %s in one sentence and points to the help', async (_, args, sentence) => {
    const ended = await home.run(args)
    expect(sentencesOf(ended)).toEqual([expect.stringMatching(sentence), '(orderlog --help shows what there is)'])
    expect(ended.code).toBe(1)
  })

  test.each([[[]], [['start']], [['demo']], [['migrate']], [['status']], [['forget']]])(
    'orderlog %j --help says what it does, on standard output',
    async (args) => {
      const { code, stdout, stderr } = await home.run([...args, '--help'])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toMatch(new RegExp(`^Usage: orderlog ${args.join(' ')}`))
      expect(stdout).toContain('-h, --help')
    },
  )

  test('migrate makes the database and leaves nothing running', async () => {
    const ended = await home.run(['migrate'])
    expect(ended).toMatchObject({ code: 0, stdout: 'The database schema is up to date.\n' })
    expect(await home.postmaster()).toBeUndefined()
    expect((await home.run(['migrate'])).code).toBe(0)
  })
})
