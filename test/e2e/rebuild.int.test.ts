import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ProjectionView } from '../../schemas/views.ts'
import { eventually } from '../support/eventually.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome, queryOnce } from '../support/platform-home.ts'
import { finished, type PlatformProcess } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

const orders = 12

describe('orderlog rebuild and orderlog projections, against a platform in processes of its own', () => {
  let database: TestDatabase
  let home: PlatformHome
  let environment: Record<string, string>
  let readApi: PlatformProcess
  let projections: PlatformProcess

  const start = (role: string, port = '0') => home.start([role], { ...environment, ORDERLOG_PORT: port })
  const startReadApi = () => start('read-api', String(home.port))
  const run = (...args: string[]) => home.run(args, environment)
  const follow = (...args: string[]) => {
    const child = home.spawn(args, environment)
    let stdout = ''
    child.stdout?.on('data', (chunk) => {
      stdout += chunk
    })
    return {
      child,
      ended: finished(child),
      saying: (what: RegExp) =>
        eventually(
          async () => stdout,
          (text) => what.test(text),
        ),
    }
  }
  const ask = async <T>(path: string): Promise<T> => (await send(home.url, 'GET', path)).body as T
  const projection = (name: string) => ask<ProjectionView>(`/v1/projections/${name}`)
  const generationOf = async (name: string) => (await projection(name)).generation
  const listed = () => ask('/v1/orders?limit=200')

  beforeAll(async () => {
    database = await openTestDatabase({ migrated: false, max: 1 })
    home = await openHome()
    environment = { DATABASE_URL: database.url, ORDERLOG_DATABASE_CONNECTIONS: '8' }
    const [writeSide, , projecting, reading] = await Promise.all([
      start('write-side'),
      start('sagas'),
      start('projections'),
      startReadApi(),
    ])
    readApi = reading
    projections = projecting
    const shop = createShopClient(writeSide.url)
    await shop.stock('mug', 1_000)
    const placed: string[] = []
    for (let index = 0; index < orders; index += 1)
      placed.push((await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))).body.orderId)
    await bringToEnd(shop, (text, values) => queryOnce(database.url, text, values), placed)
    await eventually(
      () => ask<{ projections: ProjectionView[] }>('/v1/projections'),
      (body) =>
        body.projections.length > 9 &&
        body.projections.every(({ partitions }) => partitions.every(({ lagEvents }) => lagEvents === '0')),
    )
  })
  afterAll(async () => {
    await home?.close()
    await database?.drop()
  })

  test('a dry run tells events by type, rows and time, and begins nothing', async () => {
    const { code, stdout } = await run('rebuild', 'order_details', '--dry-run')
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(`would have ${orders} rows`) })
    expect(stdout).toMatch(new RegExp(`order\\.placed\\.v2 +│ +${orders} `))
    const { plans } = JSON.parse((await run('rebuild', '--all', '--dry-run', '--json')).stdout)
    expect(plans.map((plan: { projection: string }) => plan.projection)).toContain('leaderboards')
    expect(await projection('order_details')).toMatchObject({ generation: 1, rebuild: null })
  })

  test('one rebuild, or several that read the log together, are followed to their end', async () => {
    const before = await listed()
    const one = await run('rebuild', 'order_details')
    expect(one).toEqual({ code: 0, stderr: '', stdout: expect.any(String) })
    expect(one.stdout).toMatch(
      new RegExp(
        `^order_details: generation 2 is live, .* after it was asked for \\(\\d+ events, ${orders} rows verified\\)\\.$`,
        'm',
      ),
    )
    const several = await run(
      'rebuild',
      'sales',
      'leaderboards',
      '--operator',
      'eve',
      '--reason',
      'new boards',
      '--json',
    )
    const { rebuilds } = JSON.parse(several.stdout)
    expect([several.code, new Set(rebuilds.map(({ run }: { run: string }) => run)).size]).toEqual([0, 1])
    expect(rebuilds).toMatchObject([
      { projection: 'sales', state: 'done', generation: 2, operator: 'eve', reason: 'new boards', rowsVerified: '1' },
      { projection: 'leaderboards', state: 'done', generation: 2 },
    ])
    expect([await generationOf('order_details'), await generationOf('sales')]).toEqual([2, 2])
    expect(await listed()).toEqual(before)
  })

  test('the generation before is swapped back, and the one that is not wanted is dropped', async () => {
    const before = await listed()
    const swapped = await run('projections', 'swap-back', 'order_details')
    expect(swapped).toMatchObject({ code: 0, stdout: expect.stringContaining('order_details: generation 1 is live') })
    expect(await listed()).toEqual(before)
    const told = await run('projections', 'generations', 'order_details')
    expect(told.stdout).toMatch(/│ 1 +│ 1 +│ live /)
    expect(told.stdout).toMatch(/│ 2 +│ 1 +│ kept /)
    const live = await run('projections', 'drop', 'order_details', '1', '--json')
    expect([live.code, JSON.parse(live.stdout).problem.code]).toEqual([1, 'generation-live'])
    expect(await run('projections', 'drop', 'order_details', '2')).toMatchObject({ code: 0 })
    const [left, ...others] = (await projection('order_details')).generations
    expect([left?.generation, others]).toEqual([1, []])
    const none = await run('projections', 'swap-back', 'order_details', '--json')
    expect([none.code, JSON.parse(none.stdout).problem.code]).toEqual([1, 'generation-not-found'])
  })

  test('what cannot be rebuilt is said', async () => {
    const unknown = await run('rebuild', 'nonsense')
    expect(unknown).toEqual({
      code: 1,
      stdout: '',
      stderr: 'orderlog: nonsense: There is no such projection. (projection-not-found)\n',
    })
    const eraser = await run('rebuild', 'personal_data_eraser', '--json')
    expect([eraser.code, JSON.parse(eraser.stdout).problem.code]).toEqual([1, 'nothing-to-rebuild'])
    expect(await run('rebuild', '--stale')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Nothing is stale'),
    })
    expect(await run('rebuild')).toMatchObject({ code: 1, stderr: expect.stringContaining('Name a projection') })
    expect(await run('rebuild', 'sales', '--sample', '-1')).toMatchObject({ code: 1 })
  })

  test('one that nobody works on yet is detached from, refused a second time, cancelled, resumed and followed through a restart', async () => {
    await projections.kill('SIGTERM')
    const begun = await run('rebuild', 'payments', '--detach')
    expect(begun).toMatchObject({ code: 0, stdout: expect.stringContaining('"orderlog rebuild payments --cancel"') })
    const second = await run('rebuild', 'payments', 'sales', '--json')
    expect([second.code, JSON.parse(second.stdout).problem]).toMatchObject([
      1,
      { code: 'rebuild-running', status: 409 },
    ])
    // They are begun together or not at all.
    expect((await projection('sales')).rebuild?.state).toBe('done')
    expect((await run('status')).stdout).toContain('payments is being rebuilt: generation 2, loading, 0 %.')

    const cancelled = await run('rebuild', 'payments', '--cancel')
    expect(cancelled).toMatchObject({ code: 0, stdout: expect.stringContaining('was cancelled while loading') })
    expect((await run('projections')).stdout).toContain('The rebuild of payments (generation 2) was cancelled')

    const resumed = follow('rebuild', 'payments', '--resume')
    await resumed.saying(/^payments: 0 %, loading/m)
    await readApi.kill('SIGKILL')
    await resumed.saying(/^payments: the platform does not answer; waiting for it$/m)
    ;[readApi, projections] = await Promise.all([startReadApi(), start('projections')])
    const { code, stdout } = await resumed.ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('payments: generation 2 is live') })
  })

  test('Ctrl-C stops the looking on, and the rebuild goes on', async () => {
    await projections.kill('SIGTERM')
    const following = follow('rebuild', 'stock_levels')
    await following.saying(/^stock_levels: 0 %/m)
    following.child.kill('SIGINT')
    const { code, stdout } = await following.ended
    expect({ code, stdout }).toEqual({ code: 130, stdout: expect.stringContaining('The rebuild goes on.') })
    expect((await projection('stock_levels')).rebuild?.state).toBe('running')
    const again = follow('rebuild', 'stock_levels', '--follow', '--json')
    projections = await start('projections')
    expect(JSON.parse((await again.ended).stdout).rebuilds).toMatchObject([{ state: 'done', generation: 2 }])
  })

  test('one that is cancelled under who follows it ends with 1, and can be dropped', async () => {
    await projections.kill('SIGTERM')
    const following = follow('rebuild', 'catalogue')
    await following.saying(/^catalogue: 0 %/m)
    await run('rebuild', 'catalogue', '--cancel')
    expect(await following.ended).toMatchObject({ code: 1, stdout: expect.stringContaining('was cancelled') })
    expect(await run('projections', 'drop', 'catalogue', '2')).toMatchObject({ code: 0 })
    expect(await projection('catalogue')).toMatchObject({ generation: 1, rebuild: { state: 'dropped' } })
  })

  test('when nobody answers, it says so', async () => {
    const { code, stderr } = await home.run(['projections'], { ...environment, ORDERLOG_PORT: '9' })
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('No Orderlog answers on') })
  })
})
