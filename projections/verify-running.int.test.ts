import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPartitioning } from '../platform/partitioning.ts'
import { line, orderLife } from '../test/support/order-events.ts'
import { startOrderWriters } from '../test/support/order-writers.ts'
import { openVerifyRig, type VerifyRig, wholeHistory } from '../test/support/verify-rig.ts'

const who = { operator: 'ada', reason: 'a test' }

describe('verify while the log grows', () => {
  let rig: VerifyRig
  beforeAll(async () => {
    rig = await openVerifyRig({ verifier: { mostHeld: 3_000 } })
    await rig.append(...wholeHistory(rig.vault).events)
    // What was not built yet cannot be compared.
    await rig.caughtUp()
  })
  afterAll(() => rig?.close())

  test('finds no difference in any read model, again and again, and does find one that is there', async () => {
    const writers = startOrderWriters(rig.store)
    try {
      for (let round = 0; round < 3; round += 1)
        for (const name of rig.verifier.names) {
          const sample = round % 2 === 1 ? 10 : undefined
          const { differences, compared } = await rig.verifier.verify(name, { sample })
          expect({ name, differences }).toEqual({ name, differences: [] })
          if (round > 0) expect(compared).toBeGreaterThan(0)
        }
      const [row] = await rig.rows<{ order_id: string }>('select order_id from order_details.orders limit 1')
      await rig.rows('update order_details.orders set units = 77 where order_id = $1', [row?.order_id])
      await rig.rows('update sales.days set units = units + 5')
      await rig.rows(`update leaderboards.scores set score = score + 5 where span = 'all'`)
      expect((await rig.verifier.verify('order_details')).differences).toMatchObject([
        { key: row?.order_id, field: 'units' },
      ])
      for (const name of ['order_details', 'sales', 'leaderboards']) {
        const repaired = await rig.verifier.verify(name, { repair: who })
        expect(repaired.repaired?.rows).toBeGreaterThan(0)
        expect({ name, left: repaired.differences }).toEqual({ name, left: [] })
      }
    } finally {
      await writers.end()
    }
    await rig.caughtUp()
    for (const name of rig.verifier.names)
      expect(await rig.verifier.verify(name)).toMatchObject({ projection: name, differences: [] })
    expect(writers.orders()).toBeGreaterThan(20)
  })
})

describe('verify of a log at rest', () => {
  let rig: VerifyRig
  beforeAll(async () => {
    rig = await openVerifyRig({ verifier: { waitMs: 300 } })
    await rig.append(...wholeHistory(rig.vault).events)
    for (let day = 1; day < 9; day += 1) {
      const life = orderLife({ day: `2026-04-0${day}`, lines: [line('lamp', day, 100)] })
      await rig.append(life.placed, life.confirmed)
    }
    await rig.caughtUp()
  })
  afterAll(() => rig?.close())

  test('tells which rows are missing and which nothing explains', async () => {
    const [gone] = await rig.rows<{ order_id: string }>(
      'delete from order_details.orders where revision > 1 returning order_id',
    )
    await rig.rows(`insert into stock_levels.stock values ('ghost', 1, 0, default, now(), 0, 1)`)
    const orders = await rig.verifier.verify('order_details')
    expect(orders.missing).toBeGreaterThan(0)
    expect(orders.differences).toContainEqual(
      expect.objectContaining({
        ...{ key: gone?.order_id, kind: 'missing', field: null },
        since: expect.objectContaining({ revision: 0n, type: 'OrderPlaced' }),
      }),
    )
    expect(await rig.verifier.verify('stock_levels')).toMatchObject({
      unexpected: 1,
      differences: [{ key: 'ghost', kind: 'unexpected', since: null }],
    })
    expect(await rig.verifier.verify('order_details', { repair: who })).toMatchObject({ differenceCount: 0 })
    expect(await rig.verifier.verify('stock_levels', { repair: who })).toMatchObject({ differenceCount: 0 })
  })

  test('a sample as large as everything finds what is missing and what differs', async () => {
    await rig.rows(`update order_details.orders set carrier = 'zzz' where units = 8`)
    const { differences, sample } = await rig.verifier.verify('order_details', { sample: 400 })
    expect(sample).toBe(400)
    expect(differences).toMatchObject([{ field: 'carrier', found: 'zzz' }])
    await rig.rows('delete from order_details.orders where units = 8')
    const missing = await rig.verifier.verify('order_details', { sample: 400 })
    expect(missing.differences).toMatchObject([{ kind: 'missing' }])
    await rig.verifier.verify('order_details', { repair: who })
  })

  test('compares as of a position what has not gone past it, and sums only where they stand', async () => {
    const head = await rig.store.head()
    const at = head - 5n
    await rig.rows('update order_details.orders set units = 77 where position > $1', [at])
    const { differences, movedOn } = await rig.verifier.verify('order_details', { at })
    expect(differences).toEqual([])
    expect(movedOn).toBe(3)
    expect((await rig.verifier.verify('order_details', { at: head })).differences).toHaveLength(3)
    await rig.verifier.verify('order_details', { repair: who })

    expect(await rig.verifier.verify('sales', { at: head })).toMatchObject({ differenceCount: 0 })
    await expect(rig.verifier.verify('sales', { at })).rejects.toMatchObject({ code: 'verify-position-passed' })
    await expect(rig.verifier.verify('leaderboards', { at })).rejects.toMatchObject({ code: 'verify-position-passed' })
    await expect(rig.verifier.verify('sales', { at: head + 1n })).rejects.toMatchObject({
      code: 'verify-position-not-reached',
    })
    await expect(rig.verifier.verify('sales', { at: head, repair: who })).rejects.toMatchObject({
      code: 'verify-repair-refused',
    })
    await expect(rig.verifier.verify('no_such')).rejects.toMatchObject({ code: 'projection-not-found' })
    await expect(rig.verifier.verify('personal_data_eraser')).rejects.toMatchObject({ code: 'projection-not-found' })
  })

  test('waits for a position that the read model has not reached, as long as it may', async () => {
    await rig.projectors.get('catalogue')?.stop()
    const { placed } = orderLife({})
    const at = await rig.append(placed)
    await expect(rig.verifier.verify('catalogue', { at })).rejects.toMatchObject({
      code: 'verify-position-not-reached',
    })
  })

  test('finds the same when so few keys are held at once that the log is read many times', async () => {
    const frugal = await rig.verifierWith({ mostHeld: 3 })
    const all = await rig.verifier.verify('order_details')
    expect(await frugal.verify('order_details')).toMatchObject({ differences: [], compared: all.compared })
    expect((await frugal.verify('order_details')).events).toBeGreaterThan(3 * all.events)
    await rig.rows('update order_details.orders set units = 77')
    await rig.rows('update sales.days set units = units + 5')
    expect((await frugal.verify('order_details')).differing).toBe(all.compared)
    for (const name of rig.verifier.names) {
      const [few, many] = [await frugal.verify(name), await rig.verifier.verify(name)]
      const told = ({ differences }: typeof few) => differences.map(({ key, field }) => `${key} ${field}`).sort()
      expect(told(few)).toEqual(told(many))
      expect(few.compared).toBe(many.compared)
    }
    for (const name of ['order_details', 'sales'])
      expect(await frugal.verify(name, { repair: who })).toMatchObject({ differenceCount: 0 })
  })

  test('is given up when nobody waits for it any more', async () => {
    await expect(rig.verifier.verify('order_details', { signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await rig.verifier.verify('order_details')).toMatchObject({ differenceCount: 0 })
  })
})

describe('verify of what is parked, forgotten or in partitions', () => {
  test('streams with parked events are expected as far as those, in rows and in sums', async () => {
    const rig = await openVerifyRig()
    try {
      // A delivery before the order was placed, and a sale that the table refuses.
      const [lost, sold] = [orderLife({ day: '2026-05-01' }), orderLife({ day: '2026-05-02' })]
      await rig.caughtUp()
      await rig.rows(
        `create function refuse() returns trigger language plpgsql as $$ begin raise 'refused' using errcode = '22023'; end $$`,
      )
      await rig.rows(
        "create trigger refuse before insert on sales.days for each row when (new.day = '2026-05-02') execute function refuse()",
      )
      await rig.rows(`create trigger refuse before insert on leaderboards.scores for each row
        when (new.bucket = '2026-05-02T00:00:00Z') execute function refuse()`)
      await rig.append(lost.delivered, lost.cancelled(false), sold.placed, sold.confirmed)
      await rig.caughtUp()
      for (const name of rig.verifier.names) {
        const report = await rig.verifier.verify(name)
        expect({ name, differences: report.differences }).toEqual({ name, differences: [] })
        const parked = { order_details: 1, order_search: 1, sales: 1, leaderboards: 1 }[name] ?? 0
        expect({ name, parked: report.parkedStreams }).toEqual({ name, parked })
      }
    } finally {
      await rig.close()
    }
  })

  test('an edited event is folded as it was edited, and a discarded one not at all', async () => {
    const rig = await openVerifyRig()
    try {
      const { events, shipped } = wholeHistory(rig.vault)
      await rig.append(...events)
      await rig.caughtUp()
      const [sent] = (await rig.history()).filter(
        (event) => event.type === 'OrderShipped' && event.data.orderId === shipped.orderId,
      )
      const [repriced] = (await rig.history()).filter((event) => event.type === 'ProductRepriced')
      await rig.rows(`update order_details.orders set carrier = 'UPS' where order_id = $1`, [shipped.orderId])
      await rig.rows(`update catalogue.products set price_amount = 1400, updated_at = registered_at, revision = 0, position = 1
        where sku = 'lamp'`)
      expect((await rig.verifier.verify('order_details')).differences).toMatchObject([{ field: 'carrier' }])
      expect((await rig.verifier.verify('catalogue')).differences).toHaveLength(4)
      await rig.rows(
        `insert into platform.event_edits (projection, stream, revision, event_id, edit, position, type, data, operator, reason)
         values ('order_details', $1, $2, $3, 1, $4, 'order.shipped.v1', $5, 'ada', 'a test')`,
        [sent?.stream, sent?.revision, sent?.id, sent?.position, JSON.stringify({ ...sent?.data, carrier: 'UPS' })],
      )
      await rig.rows(
        `insert into platform.event_gaps (projection, stream, revision, event_id, position, partition, event, attempts,
           first_at, last_at, operator, reason)
         values ('catalogue', $1, $2, $3, $4, 0, '{}', 1, now(), now(), 'ada', 'a test')`,
        [repriced?.stream, repriced?.revision, repriced?.id, repriced?.position],
      )
      for (const name of ['order_details', 'catalogue', 'order_search'])
        expect(await rig.verifier.verify(name)).toMatchObject({ projection: name, differences: [] })
    } finally {
      await rig.close()
    }
  })

  test('a person who was forgotten and is still shown is a difference, one whose erasure is on its way is none', async () => {
    const rig = await openVerifyRig()
    try {
      const { events, gone, refunded } = wholeHistory(rig.vault)
      await rig.append(...events)
      await rig.caughtUp()
      await rig.rows(
        `update order_details.orders set name = 'Somebody', email = 'a@b.c', address = '{}' where order_id = $1`,
        [gone.orderId],
      )
      const { differences } = await rig.verifier.verify('order_details')
      expect(differences.map(({ field, withheld }) => `${field} ${withheld}`)).toEqual([
        'name personal',
        'email personal',
        'address personal',
      ])
      expect(await rig.verifier.verify('order_details', { repair: who })).toMatchObject({ differenceCount: 0 })

      for (const name of ['order_details', 'order_search', 'personal_data_eraser'])
        await rig.projectors.get(name)?.stop()
      const { keyId } = refunded.placed.data.personal
      await rig.append({
        type: 'PersonalDataForgotten',
        data: { customerId: 'ada', keyIds: [keyId], forgottenAt: '2026-06-01T00:00:00.000Z' },
      })
      await rig.vault.destroy([keyId])
      for (const name of ['order_details', 'order_search'])
        expect(await rig.verifier.verify(name)).toMatchObject({ projection: name, differences: [] })
    } finally {
      await rig.close()
    }
  })

  test('where each partition stands at a position of its own, each stream is expected as far as its partition', async () => {
    const partitions = createPartitioning(4)
    const rig = await openVerifyRig({ partitionOf: partitions.of })
    try {
      await rig.append(...wholeHistory(rig.vault).events)
      await rig.caughtUp()
      for (const projector of rig.projectors.values()) await projector.stop()
      // As consumers of Kafka leave it: the whole log is sealed where it stood, and partitions went on from there.
      const start = await rig.store.head()
      await rig.rows('update platform.checkpoints set position = position + $1 where partition = 0', [2n ** 52n])
      const ahead = orderLife({ day: '2026-05-01' })
      const partition = partitions.of(`order-${ahead.orderId}`)
      let behind = orderLife({ day: '2026-05-01' })
      while (partitions.of(`order-${behind.orderId}`) === partition) behind = orderLife({ day: '2026-05-01' })
      const at = await rig.append(ahead.placed, ahead.confirmed)
      await rig.append(behind.placed, behind.confirmed)
      const model = rig.projections.find(({ name }) => name === 'order_details')
      const events = (await rig.history()).filter(
        (event) => event.position > start && event.position <= at && event.stream === `order-${ahead.orderId}`,
      )
      await model?.sink.apply({ partition, events, from: 0n, to: at })
      expect(await rig.verifier.verify('order_details')).toMatchObject({ differences: [], position: start })
      await rig.rows('delete from order_details.orders where order_id = $1', [ahead.orderId])
      expect(await rig.verifier.verify('order_details')).toMatchObject({ missing: 1, differenceCount: 1 })
      expect(await rig.verifier.verify('order_details', { repair: who })).toMatchObject({ differenceCount: 0 })
      for (const name of ['sales', 'leaderboards', 'order_search', 'order_timeline'])
        expect(await rig.verifier.verify(name)).toMatchObject({ projection: name, differences: [] })
    } finally {
      await rig.close()
    }
  })
})
