import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { Contender, Row } from '../contender.ts'
import { dumbo, emmettPostgres, openEmmett } from '../emmett.ts'
import { time } from '../measure.ts'
import { openRawLog } from '../raw-log.ts'
import { lifeOf } from '../sample-orders.ts'
import { projectOrderDetails as ours } from './order-details.ts'

const events = 100_000
const types = lifeOf(0).map((event) => event.type)
const orders = events / types.length

/** One order per element, its events as JSON: the same history for every contender. */
const histories = () => Array.from({ length: orders }, (_, index) => JSON.stringify(lifeOf(index)))

const ordersTable = (name: string) => `
create table ${name} (
  id text primary key, customer_id text not null, status text not null, amount bigint not null, currency text not null,
  placed_at timestamptz not null, changed_at timestamptz not null
)`

/**
 * Emmett's own append function, called by the server in one transaction. Not by concurrent callers: its consumer reads
 * in transaction order but resumes by position, and would skip events of transactions that overlapped.
 */
const seedEmmett = `
select count(*) from (
  select (emt_append_to_stream(
    array_agg(gen_random_uuid()::text order by place), array_agg(event->'data' order by place),
    array_agg('{}'::jsonb), array_agg('1'::text), array_agg(event->>'type' order by place), array_agg('E'::text),
    'order-' || (history->0->'data'->>'orderId'), 'order', 0, 'emt:default')).success
  from unnest($1::jsonb[]) with ordinality histories(history, number),
    jsonb_array_elements(history) with ordinality events(event, place)
  group by number, history
) appended`

/** Emmett's consumer with its raw SQL projection over 100,000 events. */
export const emmettOrders: Contender = {
  count: events,
  warmUp: events,
  rounds: 1,
  open: async (bench) => {
    const { url, close } = await openEmmett(bench)
    const seeding = new pg.Client({ connectionString: url })
    await seeding.connect()
    await seeding.query(seedEmmett, [histories()])
    const { rawSql, sql } = dumbo()
    const changed = { OrderConfirmed: 'confirmedAt', OrderShipped: 'shippedAt', OrderDelivered: 'deliveredAt' }
    return {
      run: async (count) => {
        const table = `orders_${randomUUID().replaceAll('-', '')}`
        const projection = emmettPostgres().postgreSQLRawSQLProjection({
          name: table,
          canHandle: types,
          init: () => rawSql(ordersTable(table)),
          evolve: ({ type, data: untyped, metadata }) => {
            const data = untyped as Record<string, string> & { total?: { amount: number; currency: string } }
            if (type === 'OrderPlaced')
              return sql(
                `insert into ${table} values (%L, %L, 'OrderPlaced', %s, %L, %L, %L)`,
                metadata.streamName,
                data.customerId,
                data.total?.amount,
                data.total?.currency,
                data.placedAt,
                data.placedAt,
              )
            const at = data[changed[type as keyof typeof changed]]
            return sql(`update ${table} set status = %L, changed_at = %L where id = %L`, type, at, metadata.streamName)
          },
        })
        const consumer = emmettPostgres().postgreSQLEventStoreConsumer({
          connectionString: url,
          stopWhen: { noMessagesLeft: true },
          pulling: { batchSize: 1_000, pullingFrequencyInMs: 1 },
        })
        consumer.projector({ projection, processorId: table })
        const measured = await time(count, () => consumer.start())
        await consumer.close()
        const { rows } = await seeding.query(
          `select count(*)::int as done from ${table} where status = 'OrderDelivered'`,
        )
        if (rows[0].done !== orders) throw new Error(`Emmett projected ${rows[0].done} of ${orders} orders`)
        return measured
      },
      close: async () => {
        await seeding.end()
        await close()
      },
    }
  },
}

const fold = (table: string) => `
insert into ${table}
select stream, min(data->>'customerId'), (array_agg(type order by revision desc))[1],
  min((data->'total'->>'amount')::bigint), min(data->'total'->>'currency'), min((data->>'placedAt')::timestamptz),
  max(coalesce(data->>'deliveredAt', data->>'shippedAt', data->>'confirmedAt', data->>'placedAt')::timestamptz)
from events group by stream`

const copyLines = function* (count: number) {
  for (let index = 0; index < count; index += 1)
    yield `order-${index}\tcustomer-${index % 1000}\tOrderDelivered\t4497\tEUR\t2026-11-21T09:30:00Z\t2026-11-21T09:30:00Z\n`
}

const raw: Contender = {
  count: events,
  warmUp: 0,
  open: async (bench) => {
    const pool = await openRawLog(bench, 4)
    await pool.query(
      `insert into events (stream, revision, id, type, data)
       select 'order-' || (history->0->'data'->>'orderId'), place - 1, gen_random_uuid(), event->>'type', event->'data'
       from unnest($1::jsonb[]) history, jsonb_array_elements(history) with ordinality events(event, place)`,
      [histories()],
    )
    await pool.query('analyze events')
    let round = 0
    return {
      run: async (count) => {
        round += 1
        await pool.query(ordersTable(`orders_${round}`))
        await pool.query(ordersTable(`copied_${round}`))
        const folded = await time(count, () => pool.query(fold(`orders_${round}`)))
        const client = await pool.connect()
        const copied = await time(count, () =>
          pipeline(Readable.from(copyLines(count)), client.query(copyFrom(`copy copied_${round} from stdin`))),
        )
        client.release()
        const rate = Math.round(copied.done / copied.seconds).toLocaleString('en')
        return { ...folded, note: `COPY of ${count.toLocaleString('en')} rows into the same table: ${rate} rows/s` }
      },
      close: () => pool.end(),
    }
  },
}

export const projection: Row = {
  name: 'projection-100k',
  unit: 'events/s',
  compares:
    'catch-up of an order projection over 100,000 events (25,000 orders of 4); ours: order_details (22 columns, 5 ' +
    'indexes, personal data decrypted) through feed and projector, p50/p99 per batch; Emmett consumer with its raw SQL ' +
    'projection in batches of 1,000 (its fastest), once; raw: one INSERT ... SELECT over the log. Goal: 20x the peer.',
  ours: ours(events),
  peer: emmettOrders,
  raw,
}
