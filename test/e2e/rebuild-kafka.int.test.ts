import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BusyShop, openBusyShop } from '../support/busy-shop.ts'
import { leftOut, missing, openTestEngines, type TestEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome, queryOnce } from '../support/platform-home.ts'

const partitions = 4
/** What an order is counted in, listed in and told in. */
const names = ['order_details', 'order_timeline', 'sales', 'leaderboards']

describe.skipIf(missing('kafka').length > 0)(`a rebuild with Kafka as the feed${leftOut('kafka')}`, () => {
  let on: TestEngines
  let home: PlatformHome
  let busy: BusyShop
  let environment: Record<string, string>
  const query = <Row>(text: string, values?: readonly unknown[]) => queryOnce<Row>(on.database.url, text, values)
  const run = (...args: string[]) => home.run(args, environment)

  beforeAll(async () => {
    on = await openTestEngines('kafka')
    home = await openHome()
    environment = { ...on.environment, KAFKA_PARTITIONS: String(partitions), ORDERLOG_DATABASE_CONNECTIONS: '12' }
    await home.start([], environment)
    // The partitions are shared by two processes, of which one does the rebuild.
    await home.start(['projections'], { ...environment, ORDERLOG_PORT: '0' })
    busy = await openBusyShop(home.url, 2, 400)
  }, 600_000)
  afterAll(async () => {
    await busy?.close().catch(() => undefined)
    await home?.close()
    await on?.drop()
  })

  /** Until shoppers have placed some more orders. */
  const goOn = async (): Promise<void> => {
    const before = busy.acknowledged.length
    await eventually(
      async () => busy.acknowledged.length,
      (orders) => orders >= before + 8,
      { what: 'some more orders' },
    )
  }
  const placesOf = async (name: string) => {
    const rows = await query<{ partition: number; generation: number }>(
      'select partition, generation from platform.checkpoints where consumer = $1 and partition > 0 order by partition',
      [name],
    )
    return rows.map(({ partition, generation }) => `partition ${partition} of generation ${generation}`)
  }
  const inEach = (generation: number) =>
    Array.from({ length: partitions }, (_, index) => `partition ${index + 1} of generation ${generation}`)
  /** Of one read model, or of every one. */
  const expectVerified = async (...one: readonly string[]) =>
    expect(await run('verify', ...one)).toEqual({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('Everything equals'),
    })

  test('while orders flow it takes over the partitions, and so does the generation before when it comes back', async () => {
    await goOn()
    await eventually(
      () => placesOf('sales'),
      (places) => places.length === partitions,
      { what: 'a checkpoint in each partition' },
    )
    for (const name of names) expect(await placesOf(name)).toEqual(inEach(1))

    const before = busy.acknowledged.length
    const rebuilt = await run('rebuild', ...names, '--sample', '20', '--json')
    expect(rebuilt).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(rebuilt.stdout).rebuilds).toMatchObject(
      names.map((projection) => ({ projection, state: 'done', generation: 2 })),
    )
    expect(busy.acknowledged.length).toBeGreaterThan(before)
    for (const name of names) expect(await placesOf(name)).toEqual(inEach(2))
    await goOn()
    for (const name of ['order_details', 'sales']) await expectVerified(name)

    for (const name of ['order_details', 'sales']) {
      expect(await run('projections', 'swap-back', name)).toMatchObject({ code: 0, stderr: '' })
      expect(await placesOf(name)).toEqual(inEach(1))
    }
    await goOn()
    await busy.close()
    await bringToEnd(busy.shop, query, busy.acknowledged)
    await expectVerified()
    const [shown] = await query<{ orders: number }>('select count(*)::integer as orders from order_details.orders')
    expect(shown).toEqual({ orders: busy.acknowledged.length })
  }, 600_000)
})
