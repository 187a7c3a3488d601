import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../../platform/compose.ts'
import { readConfig, rolesOf } from '../../platform/config.ts'
import { silentLogger } from '../../platform/logging.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import { inventoryStream } from '../../schemas/streams.ts'
import { cleanReport } from '../support/audit.ts'
import { eventually } from '../support/eventually.ts'
import { newEvent } from '../support/new-event.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome } from '../support/platform-home.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder } from '../support/shop-client.ts'

describe('the demo', () => {
  test('takes 40 orders to their end, prints one JSON summary as its last line and leaves nothing running', async () => {
    const home = await openHome()
    try {
      const { code, stdout, stderr } = await home.run(['demo', '--orders', '40', '--json'])
      const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
      expect(summary).toEqual({
        orders: 40,
        byEndState: expect.any(Object),
        events: expect.any(Number),
        seconds: expect.any(Number),
        engines: expect.objectContaining({ database: 'PostgreSQL (embedded)' }),
        audit: cleanReport,
      })
      const ends: Record<string, number> = summary.byEndState
      expect(Object.values(ends).reduce((sum, count) => sum + count, 0)).toBe(40)
      for (const end of Object.keys(ends)) expect(end).toMatch(/^(delivered|cancelled:[a-z_]+)$/)
      expect(summary.events).toBeGreaterThan(40 * 5)
      // A warning may be true on a busy machine; an error, or a sentence of the audit, never is.
      const complaints = stderr.split('\n').filter((line) => line !== '' && !/^\{"level":40,/.test(line))
      expect({ code, complaints }).toEqual({ code: 0, complaints: [] })
      expect(await home.postmaster()).toBeUndefined()
    } finally {
      await home.close()
    }
  })

  test('without an end is ended by Ctrl-C, which brings its orders to an end and audits them', async () => {
    const home = await openHome()
    try {
      const child = home.spawn(['demo'], { ORDERLOG_LOG_LEVEL: 'silent' })
      let stdout = ''
      child.stdout?.on('data', (chunk) => {
        stdout += chunk
      })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      await eventually(
        async () => stdout,
        (shown) => / [1-9]\d* orders {2}/.test(shown),
        { what: 'orders on the screen' },
      )
      child.kill('SIGINT')
      expect(await ended).toBe(0)
      expect(stdout).toMatch(/\naudit: clean\n$/)
      expect(await home.postmaster()).toBeUndefined()
    } finally {
      await home.close()
    }
  })
})

describe('the audit', () => {
  let database: TestDatabase
  let platform: Platform
  let completed: string
  let cancelled: string
  const sql = (text: string) => database.database.query(text)
  const undo: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    database = await openTestDatabase()
    const config = readConfig({ DATABASE_URL: database.url, ORDERLOG_PORT: '0' })
    platform = await startPlatform({ config, roles: rolesOf(config), logger: silentLogger })
    const shop = createShopClient(platform.url)
    await shop.stock('mug', 100)
    const place = async (paymentToken: string) =>
      (await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 2 }], { paymentToken }))).body.orderId
    completed = await place('tok_approve')
    cancelled = await place('tok_decline')
    await bringToEnd(shop, database.database.query, [completed, cancelled])
    if (!(await platform.caughtUp(90_000))) throw new Error('the read models did not catch up')
  })
  afterAll(async () => {
    await platform?.stop()
    await database?.drop()
  })
  afterEach(async () => {
    for (const revert of undo.splice(0)) await revert()
  })

  const audit = () => platform.audit([completed, cancelled])

  test('finds nothing when there is nothing', async () => {
    const { report, differences } = await audit()
    expect(differences).toEqual([])
    expect(report).toEqual(cleanReport)
  })

  test.each<readonly [readModel: string, table: string, tamper: string, revert: string]>([
    ['order_details', 'order_details.orders', 'total_amount = total_amount + 1', 'total_amount = total_amount - 1'],
    ['order_details', 'order_details.orders', 'revision = revision + 1', 'revision = revision - 1'],
    ['stock_levels', 'stock_levels.stock', 'on_hand = on_hand - 1', 'on_hand = on_hand + 1'],
    ['payments', 'payments.payments', 'captured_amount = captured_amount + 1', 'captured_amount = captured_amount - 1'],
    ['sales', 'sales.days', 'revenue = revenue + 1', 'revenue = revenue - 1'],
    ['catalogue', 'catalogue.products', 'price_amount = price_amount + 1', 'price_amount = price_amount - 1'],
    [
      'product_search',
      'product_search.products',
      `document = replace(document::text, '"amount":', '"amount":1')::json`,
      `document = replace(document::text, '"amount":1', '"amount":')::json`,
    ],
    [
      'order_search',
      'order_search.orders',
      `document = replace(document::text, 'cancelled', 'canceled')::json`,
      `document = replace(document::text, 'canceled', 'cancelled')::json`,
    ],
    ['order_timeline', 'order_timeline.entries', 'order_id = reverse_id(order_id)', 'order_id = reverse_id(order_id)'],
  ])('names a row of %s that somebody changed: %s set %s', async (readModel, table, tamper, revert) => {
    await sql(`create or replace function reverse_id(uuid) returns uuid immutable language sql
      as $$ select reverse(replace($1::text, '-', ''))::uuid $$`)
    undo.push(() => sql(`update ${table} set ${revert}`))
    await sql(`update ${table} set ${tamper}`)
    const { report, differences } = await audit()
    expect(report.clean).toBe(false)
    expect(report.readModelsDiffer).toBeGreaterThan(0)
    expect(differences.filter((sentence) => sentence.startsWith(`${readModel} `))).not.toEqual([])
    expect({ ...report, clean: true, readModelsDiffer: 0 }).toEqual(cleanReport)
  })

  test('names a row that is missing and a row that nothing explains', async () => {
    undo.push(() => sql(`update sales.days set day = day + 1`))
    await sql(`update sales.days set day = day - 1`)
    const { report, differences } = await audit()
    expect(report.readModelsDiffer).toBe(2)
    expect(differences).toEqual([
      expect.stringMatching(/^sales .*: is there, and no event of the log makes it$/),
      expect.stringMatching(/^sales .*: is missing; since position/),
    ])
  })

  test('names an order that was charged twice', async () => {
    undo.push(() => sql(`delete from gateway.authorisations where key = 'again'`))
    await sql(`insert into gateway.authorisations (key, order_id, token, amount, currency, status)
      select 'again', order_id, token, amount, currency, 'captured' from gateway.authorisations
      where order_id = '${completed}'`)
    const { report, differences } = await audit()
    expect(report).toEqual({ ...cleanReport, clean: false, doubleCharges: 1 })
    expect(differences).toEqual([`order ${completed} was charged more than once`])
  })

  test('names a cancelled order whose money is still held', async () => {
    undo.push(() => sql(`update gateway.authorisations set status = 'declined' where order_id = '${cancelled}'`))
    await sql(`update gateway.authorisations set status = 'approved' where order_id = '${cancelled}'`)
    const { report, differences } = await audit()
    expect(report).toEqual({ ...cleanReport, clean: false, openAuthorisations: 1 })
    expect(differences).toEqual([expect.stringContaining(cancelled)])
  })

  test('names an acknowledged order that is not in the log', async () => {
    const nobody = '3f333df6-90a4-4fda-8dd3-9485d27cee36'
    const { report, differences } = await platform.audit([completed, nobody])
    expect(report).toEqual({ ...cleanReport, clean: false, lost: 1 })
    expect(differences).toEqual([`order ${nobody} was acknowledged and is not in the log`])
  })

  test('names a product that was sold beyond what there was', async () => {
    const store = openPostgresEventStore({ database: database.database, logger: silentLogger })
    const adjusted = { sku: 'mug', delta: -1_000, reason: 'a thief', adjustedAt: new Date().toISOString() }
    await store.append(inventoryStream('mug'), [newEvent(adjusted, 'inventory.adjusted.v1')], 'any')
    await store.close()
    const { report, differences } = await audit()
    expect(report).toMatchObject({ clean: false, oversold: 1 })
    expect(differences).toContain('mug was oversold')
  })
})
