import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { seedOrders } from '../support/seed-orders.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

let home: PlatformHome
let platform: PlatformProcess
/** No saga: it would bring thousands of orders to an end that are only there to be read. */
const roles = ['write-side', 'projections', 'read-api']
beforeAll(async () => {
  home = await openHome()
  platform = await home.start(roles)
})
afterAll(() => home.close())

interface Told {
  readonly generation: number
  readonly phase: string
  readonly state: string
  readonly position: string
  readonly error: string | null
}

const asked = { operator: 'ada', reason: 'a test' }
const rebuild = async (name: string) => {
  const answer = await send(home.url, 'POST', `/v1/projections/${name}/rebuild`, asked)
  expect(answer.status, JSON.stringify(answer.body)).toBe(202)
}
const told = async (name: string): Promise<Told | undefined> => {
  const text = `select generation, phase, state, position, error from platform.rebuilds
    where projection = $1 order by started_at desc limit 1`
  return (await home.query<Told>(text, [name]))[0]
}
const until = (name: string, what: string, holds: (rebuild: Told) => boolean) =>
  eventually(
    () => told(name),
    (rebuild) => rebuild !== undefined && holds(rebuild),
    { what, everyMs: 5 },
  )
const done = (name: string, generation: number) =>
  until(name, `generation ${generation} of ${name}`, (now) => now.state === 'done' && now.generation === generation)
const restart = async (): Promise<void> => {
  await platform.kill('SIGKILL')
  platform = await home.start(roles)
}
/** Every order with its status, as the fold of the log has it and as the read model shows it. */
const differences = () =>
  home.query(
    `select coalesce(l.order_id, o.order_id) as order_id, l.status as expected, o.status as found
     from (
       select (data->>'orderId')::uuid as order_id,
         (array_agg(split_part(type, '.', 2) order by revision desc))[1] as status
       from log.events where type like 'order.%' group by 1
     ) l full join order_details.orders o using (order_id)
     where l.status is distinct from o.status`,
  )
const equal = () => eventually(differences, (rows) => rows.length === 0, { what: 'order details equal to the log' })

/** Holds in a transaction what a statement locks, until it is let go. */
const hold = async (statement: string) => {
  const client = new pg.Client(await home.databaseUrl())
  client.on('error', () => undefined)
  await client.connect()
  await client.query(`begin; ${statement}`)
  return () => client.end()
}
/** Keeps the swap waiting, as it waits for whoever writes the live generation. */
const holdSwap = () => hold("select 1 from platform.checkpoints where consumer = 'order_details' for update")

/** Waits for a session that waits for this lock on a table, other than those known; tells all there are. */
const waiting = (table: string, mode: string, known: readonly number[] = []): Promise<readonly number[]> =>
  eventually(
    async () => {
      const rows = await home.query<{ pid: number }>(
        'select pid from pg_locks where relation = $1::regclass and mode = $2 and not granted',
        [table, mode],
      )
      return rows.map(({ pid }) => pid)
    },
    (pids) => pids.some((pid) => !known.includes(pid)),
    { what: `somebody who waits for a ${mode} on ${table}`, everyMs: 5 },
  )

test('killed at the start, in the middle, before and after the swap, a rebuild goes on by itself and loses nothing', async () => {
  await seedOrders(await home.databaseUrl(), 6_000)
  await equal()

  await rebuild('order_details')
  await restart()
  await until('order_details', 'the load having begun', ({ position }) => BigInt(position) > 0n)
  await restart()
  await done('order_details', 2)
  await restart()
  await equal()

  const letGo = await holdSwap()
  await rebuild('order_details')
  await until('order_details', 'the swap', ({ phase }) => phase === 'swapping')
  await restart()
  expect(await told('order_details')).toMatchObject({ phase: 'swapping', state: 'running' })
  await letGo()
  await done('order_details', 3)
  await equal()

  const shop = createShopClient(home.url)
  await shop.stock('lamp', 10)
  const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'lamp', quantity: 1 }]))
  expect((await shop.orderIn(body.orderId, 'placed')).status).toBe(200)
  await equal()
}, 600_000)

test('killed while indexes are made and while it is verified, it goes on by itself and equals the log', async () => {
  // The load waits at its first checkpoint until its table is locked: rows can be written then, and no index made.
  const letLoad = await hold('lock table platform.checkpoints in share mode')
  await rebuild('order_details')
  const { generation = 0 } = (await told('order_details')) ?? {}
  const table = `order_details_g${generation}.orders`
  await eventually(
    () => home.query<{ found: string | null }>('select to_regclass($1)::text as found', [table]),
    ([row]) => row?.found !== null,
    { what: table, everyMs: 5 },
  )
  const letIndex = await hold(`lock table ${table} in row exclusive mode`)
  await letLoad()
  // What the killed process has asked for goes on waiting.
  const left = await waiting(table, 'ShareLock')
  expect(await told('order_details')).toMatchObject({ phase: 'indexing', state: 'running' })
  await restart()
  await waiting(table, 'ShareLock', left)
  expect(await told('order_details')).toMatchObject({ phase: 'indexing', state: 'running', generation })

  // Behind who makes the indexes, and before who verifies.
  const letOn = await hold('lock table platform.rebuilds in share mode')
  await letIndex()
  await waiting('platform.rebuilds', 'RowExclusiveLock')
  const letGo = await hold(`lock table ${table} in access exclusive mode`)
  await letOn()
  const verifier = await waiting(table, 'AccessShareLock')
  expect(await told('order_details')).toMatchObject({ phase: 'verifying', state: 'running', error: null })
  await restart()
  await waiting(table, 'AccessShareLock', verifier)
  expect(await told('order_details')).toMatchObject({ phase: 'verifying', state: 'running', generation })
  await letGo()
  await done('order_details', generation)
  await equal()
  const verified = await home.run(['verify', 'order_details'])
  expect(verified).toEqual({ code: 0, stderr: '', stdout: expect.stringContaining('Everything equals the log.') })
}, 600_000)

test('PostgreSQL killed in the middle of a rebuild is waited for', async () => {
  await rebuild('order_timeline')
  await until('order_timeline', 'the load having begun', ({ position }) => BigInt(position) > 0n)
  const server = await home.postmaster()
  if (!server) throw new Error('the embedded PostgreSQL does not run')
  process.kill(server.pid, 'SIGKILL')
  await done('order_timeline', 2)
  const [entries] = await home.query<{ missing: string }>(
    `select count(*) as missing from log.events e
     where e.data->>'orderId' is not null and not exists (select from order_timeline.entries t where t.position = e.position)`,
  )
  expect(entries?.missing).toBe('0')
}, 600_000)
