import { randomUUID } from 'node:crypto'
import type { Contender, Row } from '../contender.ts'
import { emmett, openEmmett } from '../emmett.ts'
import { drive } from '../measure.ts'
import { newEvent, openOurs } from '../ours.ts'
import { insertEvent, openRawLog } from '../raw-log.ts'
import { confirmed } from '../sample-orders.ts'

const ours = (callers: number): Contender => ({
  count: 40_000,
  open: async (bench) => {
    const { store, close } = await openOurs(bench)
    return {
      run: (count) =>
        drive({ callers, count }, async (index) => {
          const { outcome } = await store.append(`order-${randomUUID()}`, [newEvent(confirmed(index))], 'none')
          if (outcome !== 'appended') throw new Error('a new stream was not new')
        }),
      close,
    }
  },
})

const peer = (callers: number): Contender => ({
  count: 6_000,
  open: async (bench) => {
    const { store, close } = await openEmmett(bench)
    const options = { expectedStreamVersion: emmett().STREAM_DOES_NOT_EXIST }
    return {
      run: (count) =>
        drive({ callers, count }, (index) =>
          store.appendToStream(`order-${randomUUID()}`, [confirmed(index)], options),
        ),
      close,
    }
  },
})

const raw = (callers: number): Contender => ({
  count: 20_000,
  open: async (bench) => {
    const pool = await openRawLog(bench, callers)
    return {
      run: (count) =>
        drive({ callers, count }, (index) => insertEvent(pool, `order-${randomUUID()}`, 0, confirmed(index))),
      close: () => pool.end(),
    }
  },
})

export const append = (callers: number): Row => ({
  name: `append-${callers}`,
  unit: 'events/s',
  compares:
    `${callers} callers, each appending one event of 300 bytes to a new stream; Emmett appendToStream; ` +
    `raw: autocommit INSERT loop of as many callers over a pool of 64 connections. Goal: 8x the peer with 64 callers.`,
  ours: ours(callers),
  peer: peer(callers),
  raw: raw(callers),
})
