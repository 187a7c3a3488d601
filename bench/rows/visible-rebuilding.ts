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

/** From the request that places an order to the first answer that shows it, at a steady rate; milliseconds. */
const sample = async ({ post, get }: OursWhole, sku: string): Promise<number[]> => {
  const latenciesMs: number[] = []
  const sending: Promise<void>[] = []
  const begun = performance.now()
  const once = async (): Promise<void> => {
    const start = performance.now()
    const { orderId } = await post('/v1/orders', orderOf(Math.floor(Math.random() * 1_000), [sku]))
    while ((await get(`/v1/orders/${orderId}`)).status !== 200) await pause(askAgainMs)
    latenciesMs.push(performance.now() - start)
  }
  for (let index = 0; index < samples; index += 1) {
    await pause(Math.max(0, begun + ((index + Math.random()) * 1_000) / ordersPerSecond - performance.now()))
    const sent = once()
    sent.catch(() => undefined)
    sending.push(sent)
  }
  await Promise.all(sending)
  return latenciesMs
}

/** Rebuilds over and over until it is told to end. @returns how many times */
const keepRebuilding = async ({ post, get }: OursWhole, signal: AbortSignal): Promise<number> => {
  for (let times = 0; ; times += 1) {
    await post('/v1/projections/rebuild', { projections: rebuilt, ...asked })
    for (const name of rebuilt)
      for (let state = 'running'; state === 'running'; ) {
        if (signal.aborted) return times
        await pause(100)
        const { body } = await get(`/v1/projections/${name}`)
        state = body.rebuild.state
        if (state !== 'running' && state !== 'done') throw new Error(`${name}: ${body.rebuild.error}`)
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
    `rebuild and with ${rebuilt.join(', ')} being rebuilt over and over. Goal: p99 at most twice as long. No peer.`,
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
          // To be warm.
          await sample(whole, 'VASE')
          const begun = performance.now()
          const without = await sample(whole, 'VASE')
          const over = new AbortController()
          const rebuilding = keepRebuilding(whole, over.signal)
          rebuilding.catch(() => undefined)
          const withRebuild = await sample(whole, 'VASE')
          over.abort()
          const times = await rebuilding
          return {
            done: 2 * samples,
            seconds: (performance.now() - begun) / 1_000,
            latenciesMs: without,
            partsMs: new Map([
              ['without a rebuild', without],
              ['with rebuilds', withRebuild],
            ]),
            note: `${times} rebuilds came to their end meanwhile`,
          }
        },
        close: whole.close,
      }
    },
  },
}
