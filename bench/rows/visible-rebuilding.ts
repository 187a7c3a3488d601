import { setTimeout as pause } from 'node:timers/promises'
import { openDatabase } from '../../platform/database.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { migrate } from '../../platform/migrate.ts'
import { createPersonalDataVault } from '../../platform/personal-data.ts'
import type { Row } from '../contender.ts'
import { type OursWhole, openWholePlatform } from '../ours-platform.ts'
import { seedLog } from '../seed-log.ts'
import { orderOf, stockUp } from '../shop.ts'
import { askAgainMs } from '../visible-commands.ts'

const ordersPerSecond = 20
const samples = 1_200
/** So many rebuilds of each are to come to their end while orders are placed, or what comes after loading would not be measured. */
const rebuilds = 2
/** Of samples, should they not. */
const mostSamples = 8 * samples
const seeded = 50_000
const rebuilt = ['order_details', 'order_timeline', 'leaderboards']
const asked = { operator: 'bench' }

/** A history that the saga has nothing to do with: its checkpoint is behind it. */
const seed = async (url: string): Promise<void> => {
  await migrate(url, logger)
  const database = openDatabase(url, { max: 4, logger })
  await seedLog({ database }, createPersonalDataVault(database), seeded)
  await database.query(
    `insert into platform.checkpoints (consumer, partition, position, log_identity)
     select 'order-fulfilment', 0, max(position), (select id from log.identity) from log.events`,
  )
  await database.close()
}

/** What is going on when an order is placed. */
type Moment = 'nothing' | 'loading' | 'indexes, catching up, verifying, swap'

/**
 * From the request that places an order to the first answer that shows it, at a steady rate, until it is enough.
 *
 * @param moment asked as each is placed
 * @returns milliseconds, by what was going on
 */
const sample = async (
  { post, get }: OursWhole,
  sku: string,
  moment: () => Moment,
  isEnough: (count: number) => boolean,
): Promise<Map<Moment, number[]>> => {
  const latenciesMs = new Map<Moment, number[]>()
  const sending: Promise<void>[] = []
  const begun = performance.now()
  const once = async (): Promise<void> => {
    const when = moment()
    const start = performance.now()
    const { orderId } = await post('/v1/orders', orderOf(Math.floor(Math.random() * 1_000), [sku]))
    while ((await get(`/v1/orders/${orderId}`)).status !== 200) await pause(askAgainMs)
    const found = latenciesMs.get(when) ?? []
    latenciesMs.set(when, found)
    found.push(performance.now() - start)
  }
  for (let index = 0; !isEnough(index); index += 1) {
    await pause(Math.max(0, begun + ((index + Math.random()) * 1_000) / ordersPerSecond - performance.now()))
    const sent = once()
    sent.catch(() => undefined)
    sending.push(sent)
  }
  await Promise.all(sending)
  return latenciesMs
}

/** Rebuilds over and over until it is told to end. @param told of what is going on, and how many times all have come to their end */
const keepRebuilding = async (
  { post, get }: OursWhole,
  told: (moment: Moment, times: number) => void,
  signal: AbortSignal,
): Promise<void> => {
  for (let times = 0; ; times += 1) {
    told('loading', times)
    await post('/v1/projections/rebuild', { projections: rebuilt, ...asked })
    for (let isOver = false; !isOver; ) {
      if (signal.aborted) return
      await pause(100)
      const found = await Promise.all(rebuilt.map(async (name) => (await get(`/v1/projections/${name}`)).body.rebuild))
      const failed = found.find(({ state }) => state !== 'running' && state !== 'done')
      if (failed) throw new Error(`${failed.projection}: ${failed.error}`)
      // They are loaded together, and then come to their end one after the other.
      if (found.every(({ phase }) => phase !== 'loading')) told('indexes, catching up, verifying, swap', times)
      isOver = found.every(({ state }) => state === 'done')
    }
    for (const name of rebuilt) {
      const { body } = await get(`/v1/projections/${name}`)
      for (const { generation, state } of body.generations)
        if (state === 'kept') await post(`/v1/projections/${name}/generations/${generation}/drop`, asked)
    }
  }
}

export const visibleRebuilding: Row = {
  name: 'visible-rebuilding',
  unit: 'orders/s',
  compares:
    `the whole platform in one process on PostgreSQL, ${seeded * 4} events in the log: ${ordersPerSecond} orders a second, from the ` +
    `request to the first answer that shows the order, asked for again every ${askAgainMs} ms, ${samples} samples without a ` +
    `rebuild, and as many or more, until ${rebuilds} have come to their end, with ${rebuilt.join(', ')} being rebuilt over and over. Goal: p99 at most twice as long. No peer.`,
  ours: {
    count: samples,
    warmUp: 0,
    rounds: 1,
    open: async (bench) => {
      const whole = await openWholePlatform(bench, {}, seed)
      if (!(await whole.platform.caughtUp(120_000))) throw new Error('the read models did not catch up')
      await stockUp(whole, 'VASE')
      return {
        run: async () => {
          const minute = (count: number): boolean => count >= samples
          // To be warm.
          await sample(whole, 'VASE', () => 'nothing', minute)
          const begun = performance.now()
          const without = [...(await sample(whole, 'VASE', () => 'nothing', minute)).values()].flat()
          const over = new AbortController()
          let now: Moment = 'loading'
          let ended = 0
          let broken: unknown
          const rebuilding = keepRebuilding(
            whole,
            (moment, times) => {
              now = moment
              ended = times
            },
            over.signal,
          ).catch((error: unknown) => {
            broken = error
          })
          const isEnough = (count: number): boolean =>
            broken !== undefined || count >= mostSamples || (count >= samples && ended >= rebuilds)
          const during = await sample(whole, 'VASE', () => now, isEnough)
          over.abort()
          await rebuilding
          if (broken !== undefined) throw broken
          const all = [...during.values()].flat()
          return {
            done: samples + all.length,
            seconds: (performance.now() - begun) / 1_000,
            latenciesMs: without,
            partsMs: new Map([['without a rebuild', without], ['with rebuilds', all], ...during]),
            note: `${ended} rebuilds of all came to their end meanwhile; of ${all.length} samples with rebuilds ${during.get('loading')?.length ?? 0} were taken while they loaded`,
          }
        },
        close: whole.close,
      }
    },
  },
}
