import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { PaymentGateway } from '../platform/payment-gateway.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import { createSimulatedPaymentGateway } from '../platform/simulated-payment-gateway.ts'
import { createSnapshotStore } from '../platform/snapshots.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { paymentStream } from '../schemas/streams.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createCommandHandler } from './command-handler.ts'
import type { CommandOptions } from './commands.ts'

let test: TestDatabase
let store: PostgresEventStore
let simulated: PaymentGateway
const at = '2026-11-21T09:30:00.000Z'

beforeAll(async () => {
  test = await openTestDatabase()
  store = openPostgresEventStore({ database: test.database, logger: silentLogger })
  simulated = createSimulatedPaymentGateway({ database: test.database, lateMs: 1 })
})
afterAll(async () => {
  await store.close()
  await test.drop()
})

/** One process: what it remembers is its own. */
const process = (gateway: Partial<PaymentGateway> = {}) => {
  const handler = createCommandHandler({
    store,
    snapshots: createSnapshotStore(test.database),
    gateway: { ...simulated, ...gateway },
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetrics(),
  })
  const context = (commandId: string = randomUUID()) => ({
    commandId,
    correlationId: commandId,
    causationId: commandId,
    actor: 'saga:order-fulfilment',
  })
  return {
    authorise: (orderId: string, paymentToken = 'tok_approve') =>
      handler.handle({ type: 'AuthorisePayment', at, orderId, customerId: 'c', amount, paymentToken }, context()),
    capture: (orderId: string) => handler.handle({ type: 'CapturePayment', at, orderId }, context()),
    cancel: (orderId: string, customerId?: string) =>
      handler.handle({ type: 'VoidPayment', at, orderId, ...(customerId ? { customerId } : {}) }, context()),
    refund: (
      orderId: string,
      sum: number,
      refundId: string = randomUUID(),
      { commandId, ...options }: CommandOptions & { commandId?: string } = {},
    ) =>
      handler.handle(
        { type: 'RefundPayment', at, orderId, refundId, amount: { ...amount, amount: sum }, reason: 'damaged' },
        context(commandId),
        options,
      ),
  }
}
const amount = { amount: 1_000, currency: 'EUR' }
const typesOf = async (orderId: string) =>
  (await store.readStream(paymentStream(orderId))).events.map((stored) => decodeEvent(stored).type)
const code = (code: string) => expect.objectContaining({ code })
const atGateway = async (orderId: string) => {
  const [row] = await test.database.query<{ status: string; attempts: number }>(
    'select status, attempts from gateway.authorisations where key = $1',
    [`${orderId}:authorise`],
  )
  return row?.status
}
/** The call reaches the gateway, and then the process dies before it can record anything. */
const dies = async (): Promise<never> => {
  throw new Error('killed')
}

describe('a payment', () => {
  it('is announced, made and recorded, step by step', async () => {
    const orderId = randomUUID()
    const { authorise, capture, refund } = process()
    expect((await authorise(orderId)).events.map(({ type }) => type)).toEqual([
      'AuthorisationRequested',
      'PaymentAuthorised',
    ])
    await capture(orderId)
    await refund(orderId, 300)
    expect(await typesOf(orderId)).toEqual([
      'AuthorisationRequested',
      'PaymentAuthorised',
      'CaptureRequested',
      'PaymentCaptured',
      'RefundRequested',
      'PaymentRefunded',
    ])
  })

  it('that is declined is an event and not a refusal', async () => {
    const orderId = randomUUID()
    const { authorise } = process()
    const { events } = await authorise(orderId, 'tok_decline')
    expect(events).toMatchObject([{ type: 'AuthorisationRequested' }, { type: 'PaymentDeclined' }])
    await expect(authorise(orderId, 'tok_decline')).rejects.toEqual(code('payment-settled'))
  })

  it('whose reply was lost is looked up and not made again', async () => {
    const orderId = randomUUID()
    const { events } = await process().authorise(orderId, 'tok_timeout_charged')
    expect(events).toMatchObject([{ type: 'AuthorisationRequested' }, { type: 'PaymentAuthorised' }])
  })

  it('that the provider could not take is announced, and made when it is asked for again', async () => {
    const orderId = randomUUID()
    const { authorise } = process()
    await expect(authorise(orderId, 'tok_fail_2')).rejects.toBeInstanceOf(EngineUnavailable)
    await expect(authorise(orderId, 'tok_fail_2')).rejects.toBeInstanceOf(EngineUnavailable)
    expect(await typesOf(orderId)).toEqual(['AuthorisationRequested'])
    expect((await authorise(orderId, 'tok_fail_2')).events).toMatchObject([{ type: 'PaymentAuthorised' }])
  })

  it('of unknown outcome says so, and is settled by the next attempt', async () => {
    const orderId = randomUUID()
    const lost = process({
      authorise: async () => ({ outcome: 'unknown' }),
      find: async () => ({ outcome: 'unknown' }),
    })
    await expect(lost.authorise(orderId)).rejects.toEqual(code('payment-outcome-unknown'))
    expect((await process().authorise(orderId)).events).toMatchObject([{ type: 'PaymentAuthorised' }])
  })

  it('may be captured later when the provider refuses at first', async () => {
    const orderId = randomUUID()
    const { authorise, capture } = process()
    await authorise(orderId, 'tok_capture_fails')
    await expect(capture(orderId)).rejects.toEqual(code('payment-capture-refused'))
    await test.database.query(`update gateway.authorisations set token = 'tok' where key = $1`, [
      `${orderId}:authorise`,
    ])
    expect((await capture(orderId)).events).toMatchObject([{ type: 'PaymentCaptured' }])
  })

  it('is charged once by ten processes that try at the same time', async () => {
    const orderId = randomUUID()
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => process().authorise(orderId)))
    expect(outcomes).toHaveLength(10)
    expect(await typesOf(orderId)).toEqual(['AuthorisationRequested', 'PaymentAuthorised'])
  })

  it('never gives back more than was captured, however many ask at once', async () => {
    const orderId = randomUUID()
    await process().authorise(orderId)
    await process().capture(orderId)
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => process().refund(orderId, 300)))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    for (const one of asked) if (one.status === 'rejected') expect(one.reason).toEqual(code('refund-exceeds-captured'))
  })
})

describe('a process that dies', () => {
  it('between the charge and its record leaves a charge that is found', async () => {
    const orderId = randomUUID()
    const dying = process({ authorise: async (call) => simulated.authorise(call).then(dies) })
    await expect(dying.authorise(orderId)).rejects.toThrow('killed')
    expect(await atGateway(orderId)).toBe('approved')
    const next = process({ authorise: dies })
    expect((await next.authorise(orderId)).events).toMatchObject([{ type: 'PaymentAuthorised' }])
  })

  it('before the charge leaves an announcement that is carried out', async () => {
    const orderId = randomUUID()
    await expect(process({ authorise: dies }).authorise(orderId)).rejects.toThrow('killed')
    expect(await atGateway(orderId)).toBeUndefined()
    expect((await process().authorise(orderId)).events).toMatchObject([{ type: 'PaymentAuthorised' }])
  })

  it('after the charge of an order that is then cancelled leaves nothing open', async () => {
    const orderId = randomUUID()
    const dying = process({ authorise: async (call) => simulated.authorise(call).then(dies) })
    await expect(dying.authorise(orderId)).rejects.toThrow('killed')
    await process().cancel(orderId)
    expect(await atGateway(orderId)).toBe('voided')
    expect(await typesOf(orderId)).toEqual([
      'AuthorisationRequested',
      'PaymentAuthorised',
      'VoidRequested',
      'PaymentVoided',
    ])
  })

  it('during a refund leaves one that is made once', async () => {
    const orderId = randomUUID()
    const refundId = randomUUID()
    await process().authorise(orderId)
    await process().capture(orderId)
    const dying = process({ refund: async (call) => simulated.refund(call).then(dies) })
    await expect(dying.refund(orderId, 1_000, refundId)).rejects.toThrow('killed')
    expect((await process().refund(orderId, 1_000, refundId)).events).toMatchObject([{ type: 'PaymentRefunded' }])
    expect(await process().refund(orderId, 1_000, refundId)).toMatchObject({ events: [] })
  })
})

describe('a decline that only the provider knows of', () => {
  const unrecorded = async (): Promise<string> => {
    const orderId = randomUUID()
    const dying = process({ authorise: async (call) => simulated.authorise(call).then(dies) })
    await expect(dying.authorise(orderId, 'tok_decline')).rejects.toThrow('killed')
    return orderId
  }

  it('answers whoever asks for the authorisation again', async () => {
    const { events } = await process().authorise(await unrecorded(), 'tok_decline')
    expect(events).toMatchObject([{ type: 'PaymentDeclined' }])
  })

  it('is no success of a capture or a refund that happens upon it', async () => {
    await expect(process().capture(await unrecorded())).rejects.toEqual(code('payment-not-authorised'))
    const orderId = await unrecorded()
    await expect(process().refund(orderId, 100)).rejects.toEqual(code('payment-not-captured'))
    expect(await typesOf(orderId)).toEqual(['AuthorisationRequested', 'PaymentDeclined'])
  })

  it('leaves a void with nothing to do', async () => {
    const orderId = await unrecorded()
    await process().cancel(orderId)
    expect(await typesOf(orderId)).toEqual(['AuthorisationRequested', 'PaymentDeclined'])
  })
})

describe('a refund that depends on a revision', () => {
  const captured = async (): Promise<string> => {
    const orderId = randomUUID()
    await process().authorise(orderId)
    await process().capture(orderId)
    return orderId
  }

  it('is refused when the payment has moved on', async () => {
    const orderId = await captured()
    await expect(process().refund(orderId, 100, randomUUID(), { expectedRevision: 2n })).rejects.toEqual(
      code('precondition-failed'),
    )
    expect((await typesOf(orderId)).at(-1)).toBe('PaymentCaptured')
  })

  it('is taken up again where it died, though its own announcement has moved the payment on', async () => {
    const orderId = await captured()
    const refundId = randomUUID()
    const commandId = randomUUID()
    const dying = process({ refund: dies })
    const asked = { expectedRevision: 3n, commandId }
    await expect(dying.refund(orderId, 100, refundId, asked)).rejects.toThrow('killed')
    const { events } = await process().refund(orderId, 100, refundId, { ...asked, repeated: true })
    expect(events).toMatchObject([{ type: 'PaymentRefunded' }])
    await process().refund(orderId, 100, refundId, { ...asked, repeated: true })
    expect((await typesOf(orderId)).filter((type) => type === 'PaymentRefunded')).toHaveLength(1)
  })
})

describe('a void', () => {
  it('of a charge that never arrived keeps it from arriving late', async () => {
    const orderId = randomUUID()
    const lost = process({ authorise: dies })
    await expect(lost.authorise(orderId)).rejects.toThrow('killed')
    await process().cancel(orderId)
    const late = { key: `${orderId}:authorise`, orderId, amount, paymentToken: 'tok_approve' }
    expect(await simulated.authorise(late)).toMatchObject({ outcome: 'declined' })
    await expect(process().authorise(orderId)).rejects.toEqual(code('payment-settled'))
  })

  it('before anything was requested rules the charge out', async () => {
    const orderId = randomUUID()
    await expect(process().cancel(orderId)).rejects.toEqual(code('payment-not-found'))
    await process().cancel(orderId, 'c')
    await expect(process().authorise(orderId)).rejects.toEqual(code('payment-settled'))
  })

  it('comes too late for a capture that went through unrecorded', async () => {
    const orderId = randomUUID()
    await process().authorise(orderId)
    const dying = process({ capture: async (call) => simulated.capture(call).then(dies) })
    await expect(dying.capture(orderId)).rejects.toThrow('killed')
    await expect(process().cancel(orderId)).rejects.toEqual(code('payment-already-captured'))
    expect((await typesOf(orderId)).at(-1)).toBe('PaymentCaptured')
  })

  it('and a charge at the same time leave nothing open', async () => {
    for (let round = 0; round < 20; round += 1) {
      const orderId = randomUUID()
      await Promise.allSettled([process().authorise(orderId), process().cancel(orderId, 'c')])
      await process().cancel(orderId, 'c')
      expect(await atGateway(orderId)).toBe('voided')
      expect((await typesOf(orderId)).at(-1)).toBe('PaymentVoided')
    }
  })
})
