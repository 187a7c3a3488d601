import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Contender, Row } from '../contender.ts'
import { newEvent } from '../ours.ts'
import { openWholePlatform } from '../ours-platform.ts'

const ours: Contender = {
  count: 200,
  warmUp: 20,
  open: async (bench) => {
    const { platform, database, store, close } = await openWholePlatform(bench)
    const received = (sku: string) => {
      const data = { sku, quantity: 1, receivedAt: new Date().toISOString() }
      return store.append(`inventory-${sku}`, [newEvent({ type: 'StockReceived', data })], 'none')
    }
    await received('FIRST')
    if (!(await platform.caughtUp(30_000))) throw new Error('the read models did not start')
    const visible = { name: 'bench_visible', text: 'select 1 from stock_levels.stock where sku = $1' }
    return {
      run: async (count) => {
        const latenciesMs: number[] = []
        for (let index = 0; index < count; index += 1) {
          // Long enough for everything to fall asleep, and never in step with a timer of the platform.
          await pause(20 + Math.random() * 40)
          const sku = `SKU-${randomUUID()}`
          const begun = performance.now()
          await received(sku)
          while ((await database.execute(visible, [sku])).length === 0)
            if (performance.now() - begun > 5_000) throw new Error(`${sku} did not become visible`)
          latenciesMs.push(performance.now() - begun)
        }
        return { done: count, seconds: latenciesMs.reduce((sum, ms) => sum + ms, 0) / 1000, latenciesMs }
      },
      close,
    }
  },
}

export const visibleIdle: Row = {
  name: 'visible-idle',
  unit: 'events/s',
  compares:
    'the whole platform idle, one event every 40 ms or so appended through a store of another connection: from the call ' +
    'of append to its row in stock_levels, which is asked for over and over in SQL. Goal: p99 of 25 ms; no peer.',
  ours,
}
