import { v5 as uuidv5, v7 as uuidv7 } from 'uuid'
import type { Clock } from '../platform/clock.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { GatewayFinding, GatewayOutcome, PaymentGateway } from '../platform/payment-gateway.ts'
import type { CommandContext } from '../schemas/commands.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { PaymentCommand, PaymentEvent } from '../schemas/payment.ts'
import type { AggregateLog, Known } from './aggregate-log.ts'
import type { CommandOptions, Settled } from './commands.ts'
import { gatewayKeys } from './gateway-keys.ts'
import { newEvent } from './new-events.ts'
import { type Payment, paymentDecider } from './payment.ts'
import { type CallResult, callFor, openCalls, type PaymentCall, recordOf } from './payment-calls.ts'
import { createTurns } from './turns.ts'

const maxConflicts = 10
const maxCalls = 3
const eventNamespace = '5f0c2f5c-6a3e-4bb5-9d27-3f3c2b3f1a55'

/** Named by the call and not by the command: what came of it is recorded once, whichever command does it. */
const recordIdOf = (call: PaymentCall, event: PaymentEvent) => uuidv5(`${call.key}:${event.type}`, eventNamespace)

/** New each time: an announcement that somebody has made already has to be a conflict, so that its call is looked up. */
const announcementId = (): string => uuidv7()

export interface PaymentProcedureDependencies {
  readonly log: AggregateLog<Payment>
  readonly gateway: PaymentGateway
  readonly clock: Clock
  readonly onConflict: () => void
}

/** A result, or undefined when the gateway has done nothing under this key. */
const resultOf = (finding: GatewayFinding, orderId: string): CallResult | undefined => {
  if (finding.outcome === 'unavailable') throw new EngineUnavailable('payment gateway', finding.reason)
  if (finding.outcome === 'unknown') throw new CommandRejected('payment-outcome-unknown', { orderId })
  return finding.outcome === 'absent' ? undefined : finding
}

const makeOnce = (gateway: PaymentGateway, orderId: string, call: PaymentCall): Promise<GatewayOutcome> => {
  const { key } = call
  const authorisationKey = gatewayKeys.authorise(orderId)
  switch (call.operation) {
    case 'authorise':
      return gateway.authorise({ key, orderId, amount: call.amount, paymentToken: call.paymentToken })
    case 'capture':
      return gateway.capture({ key, authorisationKey, amount: call.amount })
    case 'void':
      return gateway.void({ key, authorisationKey })
    case 'refund':
      return gateway.refund({ key, authorisationKey, amount: call.amount })
    default:
      return call satisfies never
  }
}

/** Makes a call until it is known what came of it: one that was lost is looked up before it is made again. */
const make = async (gateway: PaymentGateway, orderId: string, call: PaymentCall): Promise<CallResult> => {
  for (let calls = 0; calls < maxCalls; calls += 1) {
    const outcome = await makeOnce(gateway, orderId, call)
    if (outcome.outcome === 'unavailable') throw new EngineUnavailable('payment gateway', outcome.reason)
    if (outcome.outcome !== 'unknown') return outcome
    const found = resultOf(await gateway.find(call.key), orderId)
    if (found) return found
  }
  throw new CommandRejected('payment-outcome-unknown', { orderId })
}

const refusals = {
  capture: 'payment-capture-refused',
  void: 'payment-already-captured',
  refund: 'refund-refused',
} as const

/** One command on its way: what is known of the payment, and what it has appended so far. */
const run = async (
  { log, gateway, clock, onConflict }: PaymentProcedureDependencies,
  stream: string,
  command: PaymentCommand,
  context: CommandContext,
  { expectedRevision, repeated }: CommandOptions,
): Promise<Settled<Payment>> => {
  const { orderId } = command
  const appended: PaymentEvent[] = []
  let conflicts = 0
  let fresh = false
  let payment: Known<Payment> = log.remembered(stream) ?? log.nothing

  const refresh = async () => {
    payment = (await log.refresh(stream, payment)).known
    fresh = true
  }

  /** False after a conflict: the payment was read again and everything has to be decided anew. */
  const append = async (events: readonly PaymentEvent[], idOf: (event: PaymentEvent) => string): Promise<boolean> => {
    if (events.length === 0) return true
    const prepared = events.map((event) => newEvent(idOf(event), event, context))
    const result = await log.append(stream, payment, prepared, events.reduce(paymentDecider.evolve, payment.state))
    if (result === 'conflict') {
      onConflict()
      conflicts += 1
      if (conflicts > maxConflicts) throw new CommandRejected('concurrent-update', { stream })
      await refresh()
      return false
    }
    payment = result
    appended.push(...events)
    return true
  }

  const record = (call: PaymentCall, result: CallResult): Promise<boolean> =>
    append(recordOf(payment.state, call, result, clock.now().toISOString()), (event) => recordIdOf(call, event))

  const lookUp = async (): Promise<boolean> => {
    for (const call of openCalls(payment.state)) {
      const found = resultOf(await gateway.find(call.key), orderId)
      if (found && !(await record(call, found))) return false
    }
    return true
  }

  const settled = (): Settled<Payment> => {
    const { revision, position, state } = payment
    return { stream, revision, position, events: appended, state }
  }

  if (expectedRevision !== undefined || (payment === log.nothing && !paymentDecider.opens?.(command))) await refresh()
  // What this very command appended, here or before it was repeated, is no change that it was not to meet.
  const conditional =
    expectedRevision !== undefined && !(repeated && (await log.lastEventOf(stream, context.commandId)))
  for (;;) {
    if (conditional && appended.length === 0 && payment.revision !== expectedRevision)
      throw new CommandRejected('precondition-failed', {
        expected: `${expectedRevision}`,
        actual: `${payment.revision}`,
      })
    if (!(await lookUp())) continue
    const declined = appended.some((event) => event.type === 'PaymentDeclined')
    if (declined && command.type === 'AuthorisePayment') return settled()
    let announced: readonly PaymentEvent[]
    try {
      announced = paymentDecider.decide(command, payment.state)
    } catch (refused) {
      if (fresh) throw refused
      await refresh()
      continue
    }
    const call = callFor(command, announced.reduce(paymentDecider.evolve, payment.state))
    if (!call) {
      if (fresh || appended.length > 0) return settled()
      await refresh()
      continue
    }
    if (!(await append(announced, announcementId))) continue
    const result = await make(gateway, orderId, call)
    if (!(await record(call, result))) continue
    if (result.outcome === 'declined' && call.operation !== 'authorise')
      throw new CommandRejected(refusals[call.operation], { orderId, reason: result.reason })
    return settled()
  }
}

/**
 * Carries out payment commands: announce the call in the log, make it, record what came of it. Whatever the log shows
 * as announced but not recorded is looked up at the gateway before anything is decided, so a crash or a lost reply
 * between any two steps never charges twice. Commands of one payment take turns; other processes are kept apart by the
 * expected revision.
 */
export const createPaymentProcedure = (deps: PaymentProcedureDependencies) => {
  const inTurn = createTurns()
  return (
    stream: string,
    command: PaymentCommand,
    context: CommandContext,
    options: CommandOptions,
  ): Promise<Settled<Payment>> => inTurn(stream, () => run(deps, stream, command, context, options))
}
