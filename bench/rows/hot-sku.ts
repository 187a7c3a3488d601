import { randomUUID } from 'node:crypto'
import type { Contender, Row } from '../contender.ts'
import { emmett, openEmmett } from '../emmett.ts'
import { drive } from '../measure.ts'
import { newContext, openCommands, openOurs } from '../ours.ts'
import { openRawPool } from '../raw-log.ts'

const callers = 64
const sku = 'PHONE-15-PRO'
const at = '2026-11-21T09:30:00.000Z'
const received = { type: 'StockReceived', data: { sku, quantity: 1_000_000, receivedAt: at } }

const ours: Contender = {
  count: 60_000,
  open: async (bench) => {
    const opened = await openOurs(bench)
    const commands = openCommands(opened)
    await commands.handle({ type: 'ReceiveStock', at, sku, quantity: received.data.quantity }, newContext())
    return {
      run: (count) =>
        drive({ callers, count }, () =>
          commands.handle(
            { type: 'ReserveStock', at: new Date().toISOString(), sku, orderId: randomUUID(), quantity: 1 },
            newContext(),
          ),
        ),
      close: async () => {
        await commands.settled()
        await opened.close()
      },
    }
  },
}

const peer: Contender = {
  count: 320,
  warmUp: 32,
  open: async (bench) => {
    const { store, close } = await openEmmett(bench)
    const { CommandHandler, isExpectedVersionConflictError: shouldRetryError } = emmett()
    // Its defaults (3 retries, from 100 ms) would refuse most buyers; these let every one through, and soonest.
    const retry = {
      onVersionConflict: {
        retries: 1_000,
        minTimeout: 10,
        maxTimeout: 1_000,
        factor: 1.1,
        randomize: true,
        shouldRetryError,
      },
    }
    const handle = CommandHandler({
      initialState: () => 0,
      evolve: (available, event) => available + (event.type === 'StockReceived' ? received.data.quantity : -1),
      retry,
    })
    return {
      run: async (count) => {
        // A new stream per round: Emmett reads it whole for each command, and its length must not grow with the rounds.
        const stream = `inventory-${randomUUID()}`
        await store.appendToStream(stream, [received])
        return drive({ callers, count }, () =>
          handle(store, stream, (available) =>
            available < 1
              ? []
              : { type: 'StockReserved', data: { sku, orderId: randomUUID(), quantity: 1, reservedAt: at } },
          ),
        )
      },
      close,
    }
  },
}

const raw: Contender = {
  count: 10_000,
  open: async (bench) => {
    const pool = await openRawPool(bench, callers)
    await pool.query('create table stock (sku text primary key, n bigint not null)')
    await pool.query('insert into stock values ($1, 1000000)', [sku])
    const text = 'update stock set n = n - 1 where sku = $1'
    return {
      run: (count) => drive({ callers, count }, () => pool.query({ name: 'update-stock', text, values: [sku] })),
      close: () => pool.end(),
    }
  },
}

export const hotSku: Row = {
  name: 'hot-sku-64',
  unit: 'commands/s',
  compares:
    '64 callers, each reserving 1 unit of ONE product through the command handler, cache and snapshots on; Emmett CommandHandler retrying conflicts until all are through; ' +
    'raw: autocommit UPDATE stock SET n = n - 1 of one row, one connection per caller. Goal: 10x the raw UPDATE.',
  ours,
  peer,
  raw,
}
