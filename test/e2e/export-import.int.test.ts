import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EventStoreDbServer, startEventStoreDbServer } from '../support/eventstoredb-server.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { queryOnce } from '../support/platform-home.ts'
import { finished, type PlatformProcess, spawnCli, startProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder } from '../support/shop-client.ts'

type Environment = Readonly<Record<string, string>>
type Line = Record<string, unknown>

const orders = 90
const patience = { ORDERLOG_SHUTDOWN_TIMEOUT_MS: '60000', ORDERLOG_RESERVATION_DEADLINE_MS: '600000' }

describe('a log that is exported and imported', () => {
  let directory: string
  let file: string
  let source: TestDatabase
  let whole: string
  let readModels: Line[]
  const databases: TestDatabase[] = []
  const servers: EventStoreDbServer[] = []

  const freshDatabase = async (): Promise<TestDatabase> => {
    const database = await openTestDatabase({ migrated: false, max: 1 })
    databases.push(database)
    return database
  }
  const freshServer = async (): Promise<EventStoreDbServer> => {
    const server = await startEventStoreDbServer({ file: join(directory, `log-${servers.length}.ndjson`) })
    servers.push(server)
    return server
  }

  const spawn = (args: readonly string[], engines: Environment, stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess =>
    spawnCli(args, { ORDERLOG_DATA_DIR: directory, ...patience, ...engines }, { stdin })
  const run = (args: readonly string[], engines: Environment) => finished(spawn(args, engines))
  const start = (engines: Environment, roles: readonly string[] = []): Promise<PlatformProcess> =>
    startProcess({ ORDERLOG_DATA_DIR: directory, ...patience, ...engines }, roles)
  const exportedFrom = async (engines: Environment, from?: string): Promise<string> => {
    const { code, stdout, stderr } = await run(['export', ...(from ? ['--from', from] : [])], engines)
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^Exported \d+ events, up to position \d+\.\n$/),
    })
    return stdout
  }

  const ask =
    (url: string) =>
    <Row>(text: string, values?: readonly unknown[]) =>
      queryOnce<Row>(url, text, values)
  const caughtUp = (url: string) =>
    eventually(
      async () => (await createShopClient(url).get('/v1/projections')).body,
      ({ projections }) =>
        projections.length >= 11 &&
        projections.every(
          ({ partitions }: { partitions: { lagEvents: string }[] }) =>
            partitions.length > 0 && partitions.every(({ lagEvents }) => lagEvents === '0'),
        ),
      { what: 'every consumer to have read the log' },
    )

  /** Every row of every read model, table by table. */
  const readModelsOf = async (url: string): Promise<Line[]> => {
    const tables = await queryOnce<{ name: string }>(
      url,
      `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
       where table_type = 'BASE TABLE' and table_schema !~ '^(pg_.*|information_schema|log|platform|saga|gateway)$'
       order by 1`,
    )
    const rows: Line[] = []
    for (const { name } of tables)
      for (const { row } of await queryOnce<{ row: Line }>(url, `select to_jsonb(t) as row from ${name} t`))
        rows.push({ table: name, ...row })
    return rows
  }

  const linesOf = (rows: readonly Line[]) => rows.map((row) => JSON.stringify(row)).toSorted()

  /** The first rows that only one of both has. */
  const differences = (found: readonly Line[], expected: readonly Line[]): string[] => {
    const [one, other] = [new Set(linesOf(found)), new Set(linesOf(expected))]
    const surplus = [...one].filter((row) => !other.has(row)).map((row) => `not expected: ${row}`)
    const missing = [...other].filter((row) => !one.has(row)).map((row) => `missing: ${row}`)
    if (found.length !== expected.length) missing.push(`${found.length} rows instead of ${expected.length}`)
    return [...surplus.slice(0, 3), ...missing.slice(0, 3)]
  }

  /** The keys of persons are no part of the log: they are put back beside it. */
  const bringKeys = async (to: TestDatabase): Promise<void> => {
    const keys = await source.database.query<{ row: string }>('select to_json(k)::text as row from log.customer_keys k')
    expect(keys.length).toBeGreaterThan(0)
    await queryOnce(
      to.url,
      'insert into log.customer_keys select * from json_populate_recordset(null::log.customer_keys, $1)',
      [`[${keys.map(({ row }) => row).join(',')}]`],
    )
  }

  /** A backup of the keys from before a customer was forgotten brings the key back; the log knows which. */
  const forgetAgain = async (target: TestDatabase): Promise<void> => {
    const page = await readFile('docs/operations.md', 'utf8')
    const [, statement = ''] = /-c "(delete from log\.customer_keys .*?)"/s.exec(page) ?? []
    const forgotten = eventsIn(whole).filter(({ type }) => type === 'customer.personal-data-forgotten.v1')
    const keyIds = forgotten.flatMap(({ data }) => (data as { keyIds: string[] }).keyIds)
    const keys = () => queryOnce(target.url, 'select from log.customer_keys where key_id = any ($1::uuid[])', [keyIds])
    await queryOnce(target.url, "insert into log.customer_keys values ($1, 'c-3', 'old')", [keyIds[0]])
    expect(await keys()).toHaveLength(1)
    await queryOnce(target.url, statement)
    expect(await keys()).toEqual([])
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'orderlog-export-'))
    source = await freshDatabase()
    const engines = { DATABASE_URL: source.url }
    const platform = await start(engines)
    const shop = createShopClient(platform.url)
    await shop.stock('mug', 1_000)
    await shop.stock('rare', 10)
    const tokens = ['tok_approve', 'tok_decline', 'tok_approve']
    const placed = await Promise.all(
      Array.from({ length: orders }, async (_, index) => {
        const lines = [{ sku: index % 4 === 3 ? 'rare' : 'mug', quantity: 1 }]
        const paymentToken = tokens[index % tokens.length] ?? 'tok_approve'
        const { status, body } = await shop.write(
          'POST',
          '/v1/orders',
          placeOrder(lines, { customerId: `c-${index % 7}`, paymentToken }),
        )
        expect(status).toBe(201)
        return body.orderId as string
      }),
    )
    await bringToEnd(shop, ask(source.url), placed)
    expect((await shop.write('DELETE', '/v1/customers/c-3/personal-data')).status).toBe(200)
    await caughtUp(platform.url)
    await platform.kill('SIGTERM')
    whole = await exportedFrom(engines)
    file = join(directory, 'events.ndjson')
    await writeFile(file, whole)
    readModels = await readModelsOf(source.url)
    expect(readModels.length).toBeGreaterThan(1_000)
  })
  afterAll(async () => {
    for (const server of servers) await server.kill()
    for (const database of databases) await database.drop()
    await rm(directory, { recursive: true, force: true })
  })

  const eventsIn = (text: string): Line[] =>
    text
      .trimEnd()
      .split('\n')
      .slice(1, -1)
      .map((line) => JSON.parse(line))
  const withoutPlace = (lines: readonly Line[]) => lines.map(({ position: _, chain: __, ...line }) => line)
  const headOf = async (url: string) =>
    (await queryOnce<{ head: string }>(url, 'select max(position) as head from log.events'))[0]?.head

  test('is the same file each time, tells no personal data, and can be gone on with', async () => {
    const engines = { DATABASE_URL: source.url }
    expect(await exportedFrom(engines)).toBe(whole)
    const events = eventsIn(whole)
    expect(events.length).toBeGreaterThan(1_000)
    expect(whole).not.toContain('Lovelace')
    const rest = eventsIn(await exportedFrom(engines, '1000'))
    expect(withoutPlace(rest)).toEqual(withoutPlace(events.slice(1_000)))
    expect(await run(['export', '--from', '999999'], engines)).toEqual({
      ...{ code: 1, stdout: '' },
      stderr: 'orderlog: The log has no event at position 999999. [export-no-such-position]\n',
    })
  })

  test('one that was killed is gone on with from its last whole line, and both files make the log', async () => {
    const engines = { DATABASE_URL: source.url }
    const exporting = spawn(['export'], engines)
    const gone = once(exporting, 'close')
    let cut = ''
    exporting.stdout?.setEncoding('utf8')
    await new Promise<void>((resolve) => {
      exporting.stdout?.on('data', (text: string) => {
        cut += text
        // Nobody takes what comes after it, so that it cannot have come to its end.
        if (cut.split('\n').length > 300) {
          exporting.stdout?.pause()
          resolve()
        }
      })
    })
    exporting.kill('SIGKILL')
    exporting.stdout?.resume()
    await gone
    const wholeLines = cut.slice(0, cut.lastIndexOf('\n') + 1)
    const { position } = JSON.parse(wholeLines.trimEnd().split('\n').at(-1) ?? '')
    const later = await exportedFrom(engines, position)
    const files = { cut: join(directory, 'cut.ndjson'), later: join(directory, 'later.ndjson') }
    await writeFile(files.cut, cut)
    await writeFile(files.later, later)

    const target = { DATABASE_URL: (await freshDatabase()).url }
    expect(await run(['import', files.cut], target)).toMatchObject({
      ...{ code: 1, stderr: expect.stringMatching(/\[import-truncated\]\n$/) },
    })
    // Not before it was said that the beginning is all there is of this file.
    expect(await run(['import', files.later], target)).toMatchObject({
      ...{ code: 1, stderr: expect.stringMatching(/which this log does not hold\. \[import-log-differs\]\n$/) },
    })
    expect(await run(['import', files.cut, '--accept-truncated'], target)).toMatchObject({ code: 0 })
    expect(await run(['import', files.later], target)).toMatchObject({
      ...{ code: 0, stdout: `Imported ${eventsIn(whole).length - Number(position)} events; 0 were there already.\n` },
    })
    expect(withoutPlace(eventsIn(await exportedFrom(target)))).toEqual(withoutPlace(eventsIn(whole)))
  })

  test('gives the same log and the same read models in another PostgreSQL, and does nothing twice', async () => {
    const target = await freshDatabase()
    const engines = { DATABASE_URL: target.url }
    const count = eventsIn(whole).length
    expect(await run(['import', file], engines)).toEqual({
      ...{ code: 0, stdout: `Imported ${count} events; 0 were there already.\n`, stderr: '' },
    })
    expect(await run(['import', file], engines)).toMatchObject({
      ...{ code: 0, stdout: `Imported 0 events; ${count} were there already.\n` },
    })
    expect(eventsIn(await exportedFrom(engines)).map(({ chain: _, ...line }) => line)).toEqual(
      eventsIn(whole).map(({ chain: _, ...line }) => line),
    )
    await bringKeys(target)
    await forgetAgain(target)
    const platform = await start(engines)
    await caughtUp(platform.url)
    expect(await run(['import', file], engines)).toMatchObject({
      ...{ code: 1, stderr: expect.stringMatching(/\[import-platform-running\]\n$/) },
    })
    // The saga has seen every order of the log, and found nothing to do.
    await eventually(
      () =>
        queryOnce<{ count: number }>(
          target.url,
          "select count(*)::int from saga.instances where status in ('completed', 'cancelled')",
        ),
      ([row]) => row?.count === orders,
      { what: 'the saga to know every order' },
    )
    await platform.kill('SIGTERM')
    expect(await headOf(target.url)).toBe(`${count}`)
    expect(await queryOnce(target.url, 'select 1 from gateway.authorisations')).toEqual([])
    expect(differences(await readModelsOf(target.url), readModels)).toEqual([])
  })

  test('goes on after kill -9 in the middle; until it has come to its end nobody starts on half a log', async () => {
    const target = await freshDatabase()
    const engines = { DATABASE_URL: target.url }
    const lines = whole.split('\n')
    const importing = spawn(['import'], engines, 'pipe')
    const gone = once(importing, 'exit')
    importing.stdin?.write(
      lines
        .slice(0, 1_100)
        .map((line) => `${line}\n`)
        .join(''),
    )
    await eventually(
      () => headOf(target.url),
      (head) => head === '1000',
      { what: 'the first batch to be in the log' },
    )
    importing.kill('SIGKILL')
    await gone

    expect(await run(['start'], { ...engines, ORDERLOG_PORT: '0' })).toMatchObject({
      ...{
        code: 1,
        stderr: expect.stringMatching(/^orderlog: An import into this log, begun at .*, has not come to its end/m),
      },
    })
    const truncated = join(directory, 'truncated.ndjson')
    await writeFile(truncated, whole.slice(0, -200))
    expect(await run(['import', truncated], engines)).toMatchObject({
      ...{
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(/^orderlog: The file was cut off: .* \[import-truncated\]\n$/),
      },
    })
    const tampered = join(directory, 'tampered.ndjson')
    await writeFile(tampered, lines.with(1_149, (lines[1_149] ?? '').replace('"actor":"', '"actor":"x')).join('\n'))
    expect(await run(['import', tampered], engines)).toMatchObject({
      ...{
        code: 1,
        stderr: expect.stringMatching(/^orderlog: Line 1150 is not as it was exported.*\[import-line-damaged\]\n$/),
      },
    })
    expect(await headOf(target.url)).toBe('1000')

    const count = eventsIn(whole).length
    expect(await run(['import', file], engines)).toEqual({
      ...{ code: 0, stdout: `Imported ${count - 1_000} events; 1000 were there already.\n`, stderr: '' },
    })
    expect(withoutPlace(eventsIn(await exportedFrom(engines)))).toEqual(withoutPlace(eventsIn(whole)))
    await bringKeys(target)
    const platform = await start(engines)
    await caughtUp(platform.url)
    await platform.kill('SIGTERM')
    expect(differences(await readModelsOf(target.url), readModels)).toEqual([])
  })

  test('gives the same read models in EventStoreDB, and the same log when it is brought back', async () => {
    const server = await freshServer()
    const target = await freshDatabase()
    const engines = { DATABASE_URL: target.url, EVENTSTORE_URL: server.url }
    const importing = spawn(['import', '-'], engines, 'pipe')
    importing.stdin?.end(whole)
    const count = eventsIn(whole).length
    expect(await finished(importing)).toMatchObject({
      ...{ code: 0, stdout: `Imported ${count} events; 0 were there already.\n` },
    })
    await bringKeys(target)
    const platform = await start(engines)
    await caughtUp(platform.url)
    await platform.kill('SIGTERM')
    const back = await exportedFrom(engines)
    expect(withoutPlace(eventsIn(back))).toEqual(withoutPlace(eventsIn(whole)))

    // Positions are another engine's: back in PostgreSQL they are the old ones.
    const again = await freshDatabase()
    const backFile = join(directory, 'back.ndjson')
    await writeFile(backFile, back)
    expect(await run(['import', backFile], { DATABASE_URL: again.url })).toMatchObject({ code: 0 })
    expect(eventsIn(await exportedFrom({ DATABASE_URL: again.url })).map(({ chain: _, ...line }) => line)).toEqual(
      eventsIn(whole).map(({ chain: _, ...line }) => line),
    )
    // Rows hold the position of their last event, the search as its version: all else in them is the same in both engines.
    const elsewhere = (rows: readonly Line[]) => rows.map(({ position: _, version: __, ...row }) => row)
    expect(differences(elsewhere(await readModelsOf(target.url)), elsewhere(readModels))).toEqual([])
  })
})
