import { randomUUID } from 'node:crypto'
import { systemClock } from '../../platform/clock.ts'
import type { LeaderboardStore } from '../../platform/leaderboard-store.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { createPostgresLeaderboardStore } from '../../platform/postgres-leaderboard-store.ts'
import { createPostgresSearchIndex } from '../../platform/postgres-search-index.ts'
import type { SearchIndex } from '../../platform/search-index.ts'
import { createConsistencyWaiter } from '../../projections/consistency.ts'
import { leaderboards as leaderboardsProjection } from '../../projections/leaderboards.ts'
import { orderSearch } from '../../projections/order-search.ts'
import { productSearch } from '../../projections/product-search.ts'
import { postgresProjections } from '../../projections/registry.ts'
import { createVerifier, type VerifierDependencies } from '../../projections/verify.ts'
import type { DomainEvent } from '../../schemas/events.ts'
import { ada, line, orderLife } from './order-events.ts'
import { append, createTestVault, openProjectionRig, type ProjectionRig } from './projection-rig.ts'

const product = (sku: string, name: string, amount: number): DomainEvent => ({
  type: 'ProductRegistered',
  data: {
    ...{ sku, name, description: `A fine ${name}`, brand: 'Lumen', category: 'lighting' },
    price: { amount, currency: 'EUR' },
    registeredAt: '2026-02-01T00:00:00.000Z',
  },
})

/** What every read model has something to show of: each status, refunds given and refused, somebody who is forgotten. */
export const wholeHistory = (vault: ReturnType<typeof createTestVault>) => {
  const at = '2026-03-05T08:00:00.000Z'
  const forgotten = randomUUID()
  const seal = (key: string, name: string) => vault.seal(key, { ...ada, name })
  const [refunded, cancelled, shipped, gone] = [
    orderLife({
      customerId: 'ada',
      lines: [line('lamp', 2, 1_500), line('bulb', 10, 99)],
      personal: seal(randomUUID(), 'Ada'),
    }),
    orderLife({ customerId: 'grace', personal: seal(randomUUID(), 'Grace Hopper') }),
    orderLife({ customerId: 'ada', day: '2026-03-02', personal: seal(randomUUID(), 'Ada') }),
    orderLife({ customerId: 'gone', personal: seal(forgotten, 'Nobody') }),
  ]
  const paid = (orderId: string, amount: number) => {
    const payment = { orderId, customerId: 'ada' }
    const money = { amount, currency: 'EUR' }
    const refund = (part: number, reason: string) => ({
      ...payment,
      ...{ refundId: randomUUID(), amount: { amount: part, currency: 'EUR' }, reason },
    })
    const [given, refused] = [refund(990, 'dim bulbs'), refund(500, 'regret')]
    const asked = ({ reason, ...one }: ReturnType<typeof refund>): DomainEvent => ({
      type: 'RefundRequested',
      data: { ...one, reason, gatewayKey: 'secret-key', requestedAt: at },
    })
    const { reason: _, ...back } = given
    return [
      {
        type: 'AuthorisationRequested',
        data: { ...payment, amount: money, paymentToken: 'tok_approve', gatewayKey: 'secret-key', requestedAt: at },
      },
      { type: 'PaymentAuthorised', data: { ...payment, amount: money, gatewayReference: 'ref-1', authorisedAt: at } },
      { type: 'CaptureRequested', data: { ...payment, amount: money, gatewayKey: 'secret-key', requestedAt: at } },
      { type: 'PaymentCaptured', data: { ...payment, amount: money, capturedAt: at } },
      asked(given),
      { type: 'PaymentRefunded', data: { ...back, refundedAt: at } },
      asked(refused),
      { type: 'RefundRefused', data: { ...refused, refusedAt: at } },
    ] satisfies DomainEvent[]
  }
  const stock = (orderId: string): DomainEvent[] => [
    { type: 'StockReserved', data: { sku: 'lamp', orderId, quantity: 2, reservedAt: at } },
  ]
  const events: DomainEvent[] = [
    product('lamp', 'Desk lamp', 1_400),
    {
      type: 'ProductRepriced',
      data: {
        sku: 'lamp',
        price: { amount: 1_500, currency: 'EUR' },
        previousPrice: { amount: 1_400, currency: 'EUR' },
        repricedAt: '2026-02-02T00:00:00.000Z',
      },
    },
    product('bulb', 'Warm bulb', 99),
    { type: 'StockReceived', data: { sku: 'lamp', quantity: 100, receivedAt: at } },
    { type: 'StockAdjusted', data: { sku: 'lamp', delta: -1, reason: 'broken', adjustedAt: at } },
    refunded.placed,
    ...stock(refunded.orderId),
    refunded.confirmed,
    cancelled.placed,
    ...stock(cancelled.orderId),
    cancelled.confirmed,
    cancelled.cancelled(true),
    { type: 'ReservationReleased', data: { sku: 'lamp', orderId: cancelled.orderId, quantity: 2, releasedAt: at } },
    refunded.shipped,
    { type: 'StockCommitted', data: { sku: 'lamp', orderId: refunded.orderId, quantity: 2, committedAt: at } },
    ...paid(refunded.orderId, 3_990),
    refunded.delivered,
    gone.placed,
    shipped.placed,
    shipped.confirmed,
    shipped.shipped,
    { type: 'PersonalDataForgotten', data: { customerId: 'gone', keyIds: [forgotten], forgottenAt: at } },
    gone.cancelled(false),
    {
      type: 'PaymentDeclined',
      data: { orderId: gone.orderId, customerId: 'gone', reason: 'no funds', declinedAt: at },
    },
    { type: 'PaymentVoided', data: { orderId: cancelled.orderId, customerId: 'grace', voidedAt: at } },
  ]
  return { events, refunded, cancelled, shipped, gone }
}

/** Every read model over a log of its own, and what verifies them. */
export const openVerifyRig = async (
  options: {
    /** A log elsewhere than in PostgreSQL. */
    readonly log?: Parameters<typeof openProjectionRig>[0]
    readonly leaderboards?: (rig: ProjectionRig) => LeaderboardStore
    readonly searchIndex?: (rig: ProjectionRig) => SearchIndex
    readonly partitionOf?: (stream: string) => number
    readonly verifier?: Partial<VerifierDependencies>
  } = {},
) => {
  const rig = await openProjectionRig(options.log)
  const { database, store } = rig
  const vault = createTestVault()
  const metrics = createMetrics()
  const leaderboards =
    options.leaderboards?.(rig) ??
    createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock: systemClock })
  const searchIndex =
    options.searchIndex?.(rig) ??
    createPostgresSearchIndex({ database, schemas: { products: 'product_search', orders: 'order_search' } })
  const projections = [
    ...postgresProjections({ database, vault }),
    leaderboardsProjection({ store: leaderboards }),
    productSearch({ index: searchIndex.products }),
    orderSearch({ index: searchIndex.orders, vault }),
  ]
  const consistency = createConsistencyWaiter({ database, logger })
  const versions = new Map(projections.map(({ name, version }) => [name, version]))
  const verifierWith = (changes: Partial<VerifierDependencies> = {}) =>
    createVerifier({
      ...{ database, store, log: store, vault, clock: systemClock, logger, metrics, versions },
      leaderboards: () => ({ reading: leaderboards, writing: leaderboards }),
      searchIndex: () => searchIndex,
      reached: (consumer: string, position: bigint, ms: number, signal?: AbortSignal) =>
        consistency.waitFor([consumer], position, ms, signal),
      ...(options.partitionOf ? { partitionOf: options.partitionOf } : {}),
      ...options.verifier,
      ...changes,
    } as VerifierDependencies)
  const verifier = verifierWith()
  const projectors = new Map(projections.map((projection) => [projection.name, rig.start(projection)]))
  return {
    ...rig,
    vault,
    metrics,
    leaderboards,
    searchIndex,
    projections,
    projectors,
    verifier,
    verifierWith,
    append: (...events: readonly DomainEvent[]) => append(store, ...events),
    caughtUp: async () => {
      for (const projector of projectors.values()) await projector.caughtUp()
    },
  }
}

export type VerifyRig = Awaited<ReturnType<typeof openVerifyRig>>
