import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { createPersonalDataVault } from '../../platform/personal-data.ts'
import type { Contender, Measured, Row } from '../contender.ts'
import { time } from '../measure.ts'
import { openOurs } from '../ours.ts'
import { seedLog } from '../seed-log.ts'
import { emmettOrders } from './projection.ts'

const events = 1_000_000
const orders = events / 4
/** What is rebuilt of a tenth of the log, and of half of it, for its memory. */
const fewEvents = events / 10
const halfOfEvents = events / 2

interface Rebuilt {
  readonly seconds: number
  /** When half of the events were in, seconds. */
  readonly half: number
  readonly loaded: number
  readonly peakRssMb: number
}

const run = promisify(execFile)

/** A rebuild in a process of its own. @param upTo position at which the log is taken to end */
const rebuild = async (url: string, projections: string, upTo = ''): Promise<Rebuilt> => {
  const program = new URL('../rebuild-process.js', import.meta.url).pathname
  const { stdout } = await run(process.execPath, [...process.execArgv, program, url, projections, upTo])
  return JSON.parse(stdout) as Rebuilt
}

/** Where the same rows are copied to and from: what the order list looks like when all is built. */
let rows: { readonly url: string; readonly file: string } | undefined
/** What the first round has measured besides. */
let told: Pick<Measured, 'note'> = {}

const rate = (count: number, seconds: number): string => Math.round(count / seconds).toLocaleString('en')

const ours: Contender = {
  count: orders,
  warmUp: 0,
  open: async (bench) => {
    const shop = await openOurs(bench)
    await seedLog(shop, createPersonalDataVault(shop.database), orders)
    return {
      run: async (): Promise<Measured> => {
        // Once: what is compared with COPY is done again in turns with it.
        if (rows) {
          const { seconds } = await rebuild(shop.url, 'order_details')
          return { done: orders, seconds, latenciesMs: [], ...told }
        }
        const few = await rebuild(shop.url, 'order_details', String(fewEvents))
        const half = await rebuild(shop.url, 'order_details', String(halfOfEvents))
        const all = await rebuild(shop.url, 'order_details')
        await mkdir('.orderlog', { recursive: true })
        const folder = await mkdtemp('.orderlog/bench-copy-')
        const file = join(folder, 'orders')
        const client = new pg.Client(shop.url)
        await client.connect()
        const { rows: found } = await client.query('select count(*)::int as count from order_details.orders')
        if (found[0].count !== orders) throw new Error(`rebuilt ${found[0].count} of ${orders} orders`)
        await pipeline(client.query(copyTo('copy order_details.orders to stdout')), createWriteStream(file))
        await client.end()
        rows = { url: shop.url, file }
        const timeline = await rebuild(shop.url, 'order_timeline')
        const boards = await rebuild(shop.url, 'leaderboards')
        const together = await rebuild(shop.url, 'order_details,order_timeline,leaderboards')
        const halves = (all.loaded - all.half) / all.half
        told = {
          note:
            `order_details: ${rate(events, all.seconds)} events/s, second half in ${halves.toFixed(2)} of the time of the first, ` +
            `peak RSS ${few.peakRssMb} MB at ${fewEvents.toLocaleString('en')}, ${half.peakRssMb} MB at ${halfOfEvents.toLocaleString('en')} ` +
            `and ${all.peakRssMb} MB at ${events.toLocaleString('en')} events; ` +
            `order_timeline: ${rate(events, timeline.seconds)} rows/s; leaderboards: ${rate(events, boards.seconds)} events/s read; ` +
            `all three at once, reading the log once: ${rate(events, together.seconds)} events/s`,
        }
        return { done: orders, seconds: all.seconds, latenciesMs: [], ...told }
      },
      close: async () => {
        await shop.close()
        if (rows) await rm(join(rows.file, '..'), { recursive: true, force: true })
      },
    }
  },
}

const raw: Contender = {
  count: orders,
  warmUp: 0,
  open: async () => {
    const sql = await readFile(new URL('../../projections/order-details.sql', import.meta.url), 'utf8')
    const [tables = '', indexes = ''] = sql.replaceAll('{schema}', 'copied').split(/^-- Indexes$/m)
    return {
      run: async () => {
        if (!rows) throw new Error('our own rows come first: they are what is copied')
        const client = new pg.Client(rows.url)
        await client.connect()
        try {
          await client.query('drop schema if exists copied cascade')
          const lines = createReadStream(rows.file)
          return await time(orders, async () => {
            await client.query(tables)
            await pipeline(lines, client.query(copyFrom('copy copied.orders from stdin')))
            await client.query(indexes)
          })
        } finally {
          await client.end()
        }
      },
      close: async () => undefined,
    }
  },
}

/** The peer counts events, of which an order has four. */
const inOrders = (contender: Contender): Contender => ({
  ...contender,
  rounds: 1,
  open: async (bench) => {
    const side = await contender.open(bench)
    return {
      ...side,
      run: async (count) => {
        const measured = await side.run(count)
        return { ...measured, done: measured.done / 4 }
      },
    }
  },
})

export const rebuildRow: Row = {
  name: 'rebuild',
  seconds: 600,
  unit: 'orders/s',
  compares:
    'order_details built anew from a log of 1,000,000 events (250,000 orders of 4, 1,000 under way at a time), its process, ' +
    'plan, bulk load, indexes, catching up and swap included, verification not, in turns with COPY; peer: the Emmett consumer of projection-100k ' +
    'over 100,000 events; raw: COPY of the same rows, in its usual text format, into the same table and its indexes. Goal: 0.4 of COPY.',
  ours,
  peer: inOrders(emmettOrders),
  raw,
}
