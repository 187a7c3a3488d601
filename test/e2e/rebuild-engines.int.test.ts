import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { seedOrders } from '../support/seed-orders.ts'

const needed = ['redis', 'elasticsearch'] as const

describe.skipIf(missing(...needed).length > 0)(
  `a rebuild whose threads write to Redis and Elasticsearch${leftOut(...needed)}`,
  () => {
    let on: TestEngines
    let home: PlatformHome
    let platform: PlatformProcess
    beforeAll(async () => {
      on = await openTestEngines(...needed)
      home = await openHome()
      platform = await home.start(['write-side', 'projections', 'read-api'], on.environment)
      await seedOrders(on.database.url, 600)
    }, 600_000)
    afterAll(async () => {
      await home?.close()
      await on?.drop()
    })

    test.each([[['leaderboards']], [['order_search']], [['order_details', 'order_timeline']], [['--all']]])(
      '%j: it equals the log, and its threads end by themselves',
      async (names) => {
        const rebuilt = await home.run(['rebuild', ...names, '--sample', 'all', '--json'], on.environment)
        expect(rebuilt).toMatchObject({ code: 0, stderr: '' })
        const { rebuilds } = JSON.parse(rebuilt.stdout) as {
          rebuilds: readonly { state: string; eventsDone: string; projection: string }[]
        }
        expect(rebuilds.map(({ state }) => state)).toEqual(rebuilds.map(() => 'done'))
        for (const { projection, eventsDone } of rebuilds)
          if (projection === 'order_search' || projection === 'order_details') expect(eventsDone).toBe('1200')
        expect(platform.log.filter((line) => /did not stop|died|broke off|a rebuild waits/.test(line))).toEqual([])
      },
      300_000,
    )
  },
)
