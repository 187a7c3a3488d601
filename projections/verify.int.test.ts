import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openVerifyRig, type VerifyRig, wholeHistory } from '../test/support/verify-rig.ts'
import type { VerifyReport } from './verify.ts'

const who = { operator: 'ada', reason: 'a test' }

/** Nothing that any column of our history ever was, by SQL type. */
const garbage: Record<string, () => string> = {
  uuid: () => `'${randomUUID()}'`,
  text: () => `'zzz'`,
  bigint: () => '987654',
  integer: () => '987654',
  json: () => `'{"zzz":1}'`,
  ARRAY: () => `'{zzz}'`,
  'timestamp with time zone': () => `'1999-01-01T00:00:00Z'`,
  date: () => `'1999-01-01'`,
  tsvector: () => `'zzz'`,
}

describe('verify', () => {
  let rig: VerifyRig
  let told: ReturnType<typeof wholeHistory>
  beforeAll(async () => {
    rig = await openVerifyRig()
    told = wholeHistory(rig.vault)
    await rig.append(...told.events)
    await rig.caughtUp()
  })
  afterAll(() => rig?.close())

  const sinceOf = (report: VerifyReport, key: string, field: string | null) =>
    report.differences.find((difference) => difference.key === key && difference.field === field)?.since?.position

  test('finds nothing in any read model when there is nothing', async () => {
    expect(rig.verifier.names).toHaveLength(9)
    for (const name of rig.verifier.names) {
      const report = await rig.verifier.verify(name)
      expect(report.differences).toEqual([])
      expect(report).toMatchObject({ projection: name, differenceCount: 0, position: await rig.store.head() })
      expect(report.compared).toBeGreaterThan(0)
      expect(await rig.metrics.registry.getSingleMetricAsString('orderlog_verify_differences')).toContain(
        `{projection="${name}"} 0`,
      )
    }
  })

  const lamp = (): string => 'lamp'
  const refundedOrder = (): string => told.refunded.orderId

  /** The first event that the log has of a key. */
  const firstOf = async (stream: string): Promise<bigint> => {
    const [event] = (await rig.store.readStream(stream)).events
    if (!event) throw new Error(`${stream} is empty`)
    return event.position
  }

  test.each([
    ['order_details', 'orders', 'order_id', refundedOrder, (key: string) => `order-${key}`],
    ['stock_levels', 'stock', 'sku', lamp, (key: string) => `inventory-${key}`],
    ['payments', 'payments', 'order_id', refundedOrder, (key: string) => `payment-${key}`],
    ['catalogue', 'products', 'sku', lamp, (key: string) => `product-${key}`],
  ] as const)(
    'names each field of %s that somebody changed, and repairs it',
    async (name, table, id, keyOf, stream) => {
      const key = keyOf()
      const columns = await rig.rows<{ column: string; type: string }>(
        `select column_name as column, data_type as type from information_schema.columns
       where table_schema = $1 and table_name = $2 and is_generated = 'NEVER' order by ordinal_position`,
        [name, table],
      )
      expect(columns.length).toBeGreaterThan(5)
      const since = await firstOf(stream(key))
      for (const { column, type } of columns) {
        const value = column === 'reserved' ? '1' : garbage[type]?.()
        await rig.rows(`update ${name}.${table} set ${column} = ${value} where ${id}::text = $1`, [key])
        const report = await rig.verifier.verify(name)
        const personal = ['name', 'email', 'address'].includes(column) && name === 'order_details'
        const fields = report.differences.map(({ field, kind }) => `${kind} ${field}`)
        if (column === id) expect(fields.sort()).toEqual(['missing null', 'unexpected null'])
        else if (column === 'reserved' || column === 'on_hand')
          expect(fields.sort()).toEqual([`differs ${column}`, 'differs available'].sort())
        else expect({ column, fields }).toEqual({ column, fields: [`differs ${column}`] })
        if (column !== id) expect({ column, since: sinceOf(report, key, column) }).toEqual({ column, since })
        const text = JSON.stringify(report, (_, each) => (typeof each === 'bigint' ? String(each) : each))
        if (personal) expect(text).not.toMatch(/Ada|zzz/)
        expect(text).not.toMatch(/tok_|secret-key|ref-1/)
        const repaired = await rig.verifier.verify(name, { repair: who })
        expect({ column, ...repaired }).toMatchObject({
          column,
          differenceCount: 0,
          repaired: { rows: column === id ? 2 : 1 },
        })
        expect((await rig.verifier.verify(name)).differences).toEqual([])
      }
    },
  )

  test('names each field of the timeline that somebody changed, with its event, and repairs it', async () => {
    const [entry] = await rig.rows<{ position: bigint; order_id: string }>(
      `select position, order_id from order_timeline.entries where type = 'AuthorisationRequested'`,
    )
    if (!entry) throw new Error('there is no such entry')
    const columns = await rig.rows<{ column: string; type: string }>(
      `select column_name as column, data_type as type from information_schema.columns
       where table_schema = 'order_timeline' and table_name = 'entries'`,
    )
    for (const { column, type } of columns) {
      await rig.rows(`update order_timeline.entries set ${column} = ${garbage[type]?.()} where position = $1`, [
        entry.position,
      ])
      const { differences } = await rig.verifier.verify('order_timeline')
      if (column === 'order_id' || column === 'position')
        expect(differences.map(({ kind }) => kind).sort()).toEqual(['missing', 'unexpected'])
      else
        expect(differences).toMatchObject([
          { key: `${entry.order_id} ${entry.position}`, field: column, since: { position: entry.position } },
        ])
      expect(await rig.verifier.verify('order_timeline', { repair: who })).toMatchObject({ differenceCount: 0 })
      expect((await rig.verifier.verify('order_timeline')).differences).toEqual([])
    }
    await rig.rows(
      `update order_timeline.entries set data = (data::jsonb || '{"paymentToken":"tok_approve"}')::json where position = $1`,
      [entry.position],
    )
    const leaking = await rig.verifier.verify('order_timeline', { repair: who })
    expect(leaking).toMatchObject({ differenceCount: 0, repaired: { rows: 1, differences: [{ field: 'data' }] } })
    expect(JSON.stringify(leaking.repaired?.differences.map(({ found }) => found))).not.toMatch(/tok_/)
  })

  test('names each field of an indexed document, and repairs it', async () => {
    for (const [name, table, id, key] of [
      ['product_search', 'products', 'sku', 'lamp'],
      ['order_search', 'orders', 'order_id', told.refunded.orderId],
    ] as const) {
      const columns = await rig.rows<{ column: string; type: string }>(
        `select column_name as column, data_type as type from information_schema.columns
         where table_schema = $1 and table_name = $2 and is_generated = 'NEVER'`,
        [name, table],
      )
      for (const { column, type } of columns) {
        const value = type === 'boolean' ? `not ${column}` : garbage[type]?.()
        await rig.rows(`update ${name}.${table} set ${column} = ${value} where ${id}::text = $1`, [key])
        const { differences } = await rig.verifier.verify(name)
        const fields = differences.map(({ field }) => field)
        if (column === id) expect(differences.map(({ kind }) => kind).sort()).toEqual(['missing', 'unexpected'])
        else if (column === 'document') expect(fields).toEqual(expect.arrayContaining(['zzz']))
        else if (column === 'person') expect(fields).toContain('person')
        else expect({ column, fields }).toEqual({ column, fields: [column] })
        expect(JSON.stringify(differences.map((each) => each.found))).not.toMatch(/Ada/)
        expect(await rig.verifier.verify(name, { repair: who })).toMatchObject({ differenceCount: 0 })
        expect((await rig.verifier.verify(name)).differences).toEqual([])
      }
      await rig.rows(`delete from ${name}.words`)
      const { differences } = await rig.verifier.verify(name)
      expect(differences.map(({ field, withheld }) => `${field} ${withheld}`)).toContain('vocabulary index')
      expect(await rig.verifier.verify(name, { repair: who })).toMatchObject({ differenceCount: 0 })
    }
  })

  test('what another version of the code has built is compared, and repaired by that version alone', async () => {
    const older = rig.verifierWith({ versions: new Map([['stock_levels', 0]]) })
    await rig.database.query("update stock_levels.stock set on_hand = on_hand + 1 where sku = 'lamp'")
    const refused = older.verify('stock_levels', { repair: who })
    await expect(refused).rejects.toMatchObject({ code: 'other-version', details: { built: 1, code: 0 } })
    expect((await older.verify('stock_levels')).differing).toBe(1)
    expect(await rig.verifier.verify('stock_levels', { repair: who })).toMatchObject({ differenceCount: 0 })
  })

  test('names each sum of sales and each score that somebody changed, and repairs it', async () => {
    const fields = ['orders', 'units', 'revenue', 'cancelled_orders', 'cancelled_units', 'cancelled_revenue']
    for (const field of [...fields, 'refunds', 'refunded']) {
      await rig.rows(`update sales.days set ${field} = ${field} + 1000000 where day = '2026-03-01'`)
      const { differences } = await rig.verifier.verify('sales')
      const [first] = (await rig.history()).filter(
        (event) => event.type === (field.startsWith('cancelled') ? 'OrderCancelled' : 'OrderConfirmed'),
      )
      const since = field.startsWith('refund') ? expect.anything() : { position: first?.position }
      expect(differences).toMatchObject([{ key: '2026-03-01 EUR', field, kind: 'differs', since }])
      expect(await rig.verifier.verify('sales', { repair: who })).toMatchObject({ differenceCount: 0 })
    }
    await rig.rows(`update sales.days set day = '1999-01-01' where day = '2026-03-01'`)
    const gone = await rig.verifier.verify('sales')
    expect(gone.differences.map(({ kind, key }) => `${kind} ${key}`).sort()).toEqual([
      'missing 2026-03-01 EUR',
      'unexpected 1999-01-01 EUR',
    ])
    expect(await rig.verifier.verify('sales', { repair: who })).toMatchObject({ differenceCount: 0 })
    expect(await rig.rows(`select from sales.days where day = '1999-01-01'`)).toEqual([])

    await rig.rows(`update leaderboards.scores set score = score + 7 where key = 'lamp'`)
    await rig.rows(`delete from leaderboards.scores where key = 'bulb'`)
    await rig.rows(`insert into leaderboards.scores values ('day', '2026-03-01', 'products', 'units', '', 'ghost', 3)`)
    const report = await rig.verifier.verify('leaderboards')
    const all = report.differences.map(({ kind, key }) => `${kind} ${key}`)
    for (const window of ['day 2026-03-01T00:00:00Z', 'all 1970-01-01T00:00:00Z']) {
      expect(all).toContain(`differs products units - ${window}|lamp`)
      expect(all).toContain(`differs products revenue EUR ${window}|lamp`)
      expect(all).toContain(`missing products units - ${window}|bulb`)
    }
    expect(all).toContain('unexpected products units - day 2026-03-01T00:00:00Z|ghost')
    expect(await rig.verifier.verify('leaderboards', { repair: who })).toMatchObject({ differenceCount: 0 })
    expect((await rig.verifier.verify('leaderboards')).differences).toEqual([])
  })

  test('names the event from which on a row is behind', async () => {
    const { orderId } = told.refunded
    await rig.rows(
      `update order_details.orders set status = 'confirmed', shipped_at = null, carrier = null, tracking_id = null,
         delivered_at = null, revision = 1 where order_id = $1`,
      [orderId],
    )
    const { differences } = await rig.verifier.verify('order_details')
    const history = (await rig.store.readStream(`order-${orderId}`)).events
    const types = Object.fromEntries(differences.map(({ field, since }) => [field, since?.type]))
    expect(types).toEqual({
      ...{ status: 'OrderShipped', shipped_at: 'OrderShipped', carrier: 'OrderShipped', tracking_id: 'OrderShipped' },
      ...{ delivered_at: 'OrderDelivered', revision: 'OrderShipped' },
    })
    expect(differences.find(({ field }) => field === 'status')).toMatchObject({
      ...{ expected: 'delivered', found: 'confirmed' },
      since: { stream: `order-${orderId}`, revision: 2n, position: history[2]?.position },
    })
    await rig.verifier.verify('order_details', { repair: who })
  })
})
