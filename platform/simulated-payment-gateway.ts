import { createBatcher } from './batcher.ts'
import type { Database } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import { pause } from './pause.ts'
import type { GatewayFinding, GatewayOutcome, PaymentGateway } from './payment-gateway.ts'
import {
  authoriseStatement,
  captureStatement,
  findStatement,
  refundStatement,
  voidStatement,
} from './simulated-payment-gateway-statements.ts'

type Authorise = Parameters<PaymentGateway['authorise']>[0]
type Capture = Parameters<PaymentGateway['capture']>[0]
type Void = Parameters<PaymentGateway['void']>[0]
type Refund = Parameters<PaymentGateway['refund']>[0]

interface Row {
  readonly key: string
  readonly status: string
  readonly reason: string | null
}

const approved = (key: string): GatewayOutcome => ({ outcome: 'approved', reference: `sim_${key}` })
const declined = (reason: string): GatewayOutcome => ({ outcome: 'declined', reason })

/** What a token makes the gateway do at first sight. */
const fateOf = (token: string): { status: string; reason: string | null; failures: number } => {
  if (token.startsWith('tok_decline')) return { status: 'declined', reason: 'card_declined', failures: 0 }
  const failures = Number(/^tok_fail_(\d{1,4})/.exec(token)?.[1] ?? 0)
  return { status: failures > 0 ? 'failing' : 'approved', reason: null, failures }
}

const afterAuthorise = (row: Row): GatewayOutcome => {
  if (row.status === 'failing') return { outcome: 'unavailable', reason: 'simulated failure' }
  if (row.status === 'declined') return declined(row.reason ?? 'card_declined')
  return row.status === 'voided' ? declined('authorisation_voided') : approved(row.key)
}

/**
 * A payment provider that decides by the payment token, and whose memory is in PostgreSQL (schema `gateway`), so that it
 * survives the process like a real one:
 *
 * - `tok_decline*` declines; `tok_capture_fails*` approves, and then declines every capture
 * - `tok_timeout_charged*` approves, but the reply is lost; `tok_late*` approves and answers after `lateMs`
 * - `tok_fail_<n>*` is unavailable n times, then approves; everything else approves
 *
 * @param deps.lateMs default 1,500; more than the guard waits makes a late answer a time-out
 */
export const createSimulatedPaymentGateway = (deps: {
  readonly database: Database
  readonly lateMs?: number
}): PaymentGateway => {
  const { database, lateMs = 1_500 } = deps

  /** Calls of one authorisation never overlap, as the statements expect; concurrent others share one. */
  const batched = <Call extends { readonly key: string }>(
    statement: { readonly name: string; readonly text: string },
    columns: (calls: readonly Call[]) => readonly unknown[][],
    keyOf: (call: Call) => string,
    outcomeOf: (row: Row) => GatewayOutcome,
  ): ((call: Call) => Promise<GatewayOutcome>) => {
    const enqueue = createBatcher<Call, GatewayOutcome>({
      maxItems: 200,
      concurrency: 2,
      keyOf,
      run: async (calls) => {
        const rows = await database.execute<Row>(statement, columns(calls))
        const byKey = new Map(rows.map((row) => [row.key, row]))
        return calls.map((call) => outcomeOf(byKey.get(call.key) ?? { key: call.key, status: 'absent', reason: null }))
      },
    })
    return async (call) => {
      try {
        return await enqueue(call)
      } catch (error) {
        if (error instanceof EngineUnavailable) return { outcome: 'unknown' }
        throw error
      }
    }
  }

  const authorise = batched<Authorise>(
    authoriseStatement,
    (calls) => {
      const fates = calls.map((call) => fateOf(call.paymentToken))
      return [
        calls.map((call) => call.key),
        calls.map((call) => call.orderId),
        calls.map((call) => call.paymentToken),
        calls.map((call) => call.amount.amount),
        calls.map((call) => call.amount.currency),
        fates.map((fate) => fate.status),
        fates.map((fate) => fate.reason),
        fates.map((fate) => fate.failures),
      ]
    },
    (call) => call.key,
    afterAuthorise,
  )

  const capture = batched<Capture>(
    captureStatement,
    (calls) => [
      calls.map((call) => call.key),
      calls.map((call) => call.authorisationKey),
      calls.map((call) => call.amount.amount),
    ],
    (call) => call.authorisationKey,
    (row) => (row.status === 'captured' ? approved(row.key) : declined(row.reason ?? `authorisation_${row.status}`)),
  )

  const release = batched<Void>(
    voidStatement,
    (calls) => [calls.map((call) => call.key), calls.map((call) => call.authorisationKey)],
    (call) => call.authorisationKey,
    (row) => (row.status === 'captured' ? declined('already_captured') : approved(row.key)),
  )

  const refund = batched<Refund>(
    refundStatement,
    (calls) => [
      calls.map((call) => call.key),
      calls.map((call) => call.authorisationKey),
      calls.map((call) => call.amount.amount),
    ],
    (call) => call.authorisationKey,
    (row) => (row.status === 'refunded' ? approved(row.key) : declined('amount_exceeds_captured')),
  )

  const look = createBatcher<string, Row | undefined>({
    maxItems: 500,
    concurrency: 2,
    run: async (keys) => {
      const rows = await database.execute<Row>(findStatement, [keys])
      const byKey = new Map(rows.map((row) => [row.key, row]))
      return keys.map((key) => byKey.get(key))
    },
  })

  return {
    authorise: async (call) => {
      const outcome = await authorise(call)
      if (call.paymentToken.startsWith('tok_late')) await pause(lateMs)
      return outcome.outcome === 'approved' && call.paymentToken.startsWith('tok_timeout_charged')
        ? { outcome: 'unknown' }
        : outcome
    },
    capture,
    void: release,
    refund,
    find: async (key): Promise<GatewayFinding> => {
      try {
        const row = await look(key)
        if (!row || row.status === 'failing') return { outcome: 'absent' }
        const outcome = row.status === 'found' ? approved(key) : afterAuthorise(row)
        return outcome
      } catch (error) {
        if (error instanceof EngineUnavailable) return { outcome: 'unavailable', reason: error.message }
        throw error
      }
    },
  }
}
