import { randomUUID } from 'node:crypto'
import type { Contender, Row } from '../contender.ts'
import { emmett, openEmmett } from '../emmett.ts'
import { drive } from '../measure.ts'
import { newContext, newEvent, openCommands, openOurs } from '../ours.ts'
import { insertEvent, openRawLog } from '../raw-log.ts'
import { confirmed, lifeOf } from '../sample-orders.ts'

const callers = 64
const history = Array.from({ length: 10 }, (_, index) => confirmed(index))
const newStreams = (count: number) => Array.from({ length: count }, () => `order-${randomUUID()}`)

const ours: Contender = {
  count: 16_000,
  open: async (bench) => {
    const opened = await openOurs(bench)
    const commands = openCommands(opened, 'off')
    return {
      run: async (count) => {
        const orderIds = Array.from({ length: count }, () => randomUUID())
        await drive({ callers, count, seconds: 60 }, (index) => {
          const orderId = orderIds[index] ?? ''
          // Confirmations over and over, which the order bears: as many events as the peer reads, and as large.
          const events = [lifeOf(index, orderId)[0], ...history.slice(1).map(() => confirmed(index, orderId))]
          return opened.store.append(
            `order-${orderId}`,
            events.flatMap((event) => (event ? [newEvent(event)] : [])),
            'none',
          )
        })
        return drive({ callers, count }, async (index) => {
          const at = new Date().toISOString()
          const command = {
            type: 'CancelOrder',
            at,
            orderId: orderIds[index] ?? '',
            reason: 'operator_request',
          } as const
          const { revision } = await commands.handle(command, newContext())
          if (revision !== 10n) throw new Error(`the eleventh event has revision ${revision}`)
        })
      },
      close: opened.close,
    }
  },
}

const peer: Contender = {
  count: 3_000,
  open: async (bench) => {
    const { store, close } = await openEmmett(bench)
    const handle = emmett().CommandHandler({
      initialState: () => ({ events: 0 }),
      evolve: (state) => ({ events: state.events + 1 }),
    })
    return {
      run: async (count) => {
        const streams = newStreams(count)
        await drive({ callers, count, seconds: 60 }, (index) => store.appendToStream(streams[index] ?? '', history))
        return drive({ callers, count }, (index) =>
          handle(store, streams[index] ?? '', (state) => confirmed(state.events)),
        )
      },
      close,
    }
  },
}

const raw: Contender = {
  count: 8_000,
  open: async (bench) => {
    const pool = await openRawLog(bench, callers)
    const load = 'select revision, type, data from events where stream = $1 order by revision'
    return {
      run: async (count) => {
        const streams = newStreams(count)
        await pool.query(
          `insert into events (stream, revision, id, type, data)
           select stream, revision, gen_random_uuid(), 'OrderConfirmed', $2::jsonb
           from unnest($1::text[]) stream, generate_series(0, 9) revision`,
          [streams, history[0]?.data],
        )
        return drive({ callers, count }, async (index) => {
          const stream = streams[index] ?? ''
          const { rows } = await pool.query({ name: 'load', text: load, values: [stream] })
          await insertEvent(pool, stream, rows.length, confirmed(index))
        })
      },
      close: () => pool.end(),
    }
  },
}

export const command: Row = {
  name: 'command-64',
  unit: 'commands/s',
  compares:
    '64 callers; each command loads a stream of 10 events from the log, decides, and appends 1; ours without its cache; ' +
    'Emmett CommandHandler; ' +
    'raw: SELECT of 10 rows, then autocommit INSERT, over 64 connections. Goal: 6x the peer.',
  ours,
  peer,
  raw,
}
