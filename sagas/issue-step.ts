import type { Clock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import type { Command, CommandContext } from '../schemas/commands.ts'
import { decodeEvent, UndecodableEvent } from '../schemas/decoding.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { DomainEvent } from '../schemas/events.ts'
import type { FulfilmentStep } from '../schemas/fulfilment.ts'
import type { CancelReason } from '../schemas/order.ts'
import { orderStream } from '../schemas/streams.ts'
import type { Fulfilment } from './fulfilment.ts'
import { commandIdOf, commandOf } from './step-commands.ts'
import { resultOfRejection, type StepResult } from './step-results.ts'

/** The door to the write side, as far as the saga needs it: the command handler, here or elsewhere. */
export interface CommandDoor {
  /** @throws CommandRejected, EngineUnavailable */
  handle(command: Command, context: CommandContext): Promise<{ readonly events: readonly DomainEvent[] }>
}

export type StepContext = Omit<CommandContext, 'commandId' | 'actor'>

export const actor = 'saga:order-fulfilment'

/** The payment provider's absence is a matter of the order; a store's absence is a matter of the whole process. */
const isStoreAway = (error: unknown): boolean =>
  error instanceof EngineUnavailable && error.engine !== 'payment gateway'

const within = <Result>(work: Promise<Result>, ms: number): Promise<Result | 'late'> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, ms, 'late')
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/**
 * Issues the command of a step and says what came of it. What takes longer than `stepTimeoutMs` is left to itself and
 * counts as unknown: it is asked again later, under the same id.
 *
 * @throws EngineUnavailable when a store is away, UndecodableEvent when only newer code can do it; nothing is known then
 * and nothing is to be recorded
 */
export const createIssueStep = (deps: {
  readonly commands: CommandDoor
  readonly store: EventStore
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly stepTimeoutMs: number
}) => {
  /** The order's own word on why it was cancelled; undefined when it was not. */
  const cancelReasonOf = async (orderId: string): Promise<CancelReason | undefined> => {
    const { events } = await deps.store.readStream(orderStream(orderId), { direction: 'backwards', limit: 1 })
    const [last] = events.map(decodeEvent)
    return last?.type === 'OrderCancelled' ? last.data.reason : undefined
  }

  const attempt = async (state: Fulfilment, step: FulfilmentStep, context: StepContext): Promise<StepResult> => {
    const { orderId } = state
    try {
      const command = commandOf(state, step, deps.clock.now().toISOString())
      const handled = deps.commands.handle(command, { ...context, commandId: commandIdOf(orderId, step), actor })
      const outcome = await within(handled, deps.stepTimeoutMs)
      if (outcome === 'late') return { outcome: 'failed', error: `no answer within ${deps.stepTimeoutMs} ms` }
      // To void is to look up first, and that may find the decline: the void is done then.
      const declined = step === 'authorise' && outcome.events.find((event) => event.type === 'PaymentDeclined')
      return declined ? { outcome: 'refused', reason: declined.data.reason } : { outcome: 'done' }
    } catch (error) {
      if (isStoreAway(error)) throw error
      // Newer code can do the step: that this code cannot is no attempt that failed.
      if (error instanceof UndecodableEvent && error.code === 'newer-event') throw error
      if (!(error instanceof CommandRejected)) {
        if (error instanceof EngineUnavailable) return { outcome: 'failed', error: error.message, unavailable: true }
        deps.logger.error({ err: error, orderId, step }, 'a step failed')
        return { outcome: 'failed', error: error instanceof Error ? error.message : String(error) }
      }
      if (step === 'confirm' && error.code === 'order-not-confirmable') {
        const reason = await cancelReasonOf(orderId)
        if (reason) return { outcome: 'order-cancelled', reason }
      }
      return resultOfRejection(step, error)
    }
  }

  return async (state: Fulfilment, step: FulfilmentStep, context: StepContext): Promise<StepResult> => {
    const result = await attempt(state, step, context)
    deps.metrics.sagaSteps.inc({ step: step.split(':')[0] ?? step, outcome: result.outcome })
    return result
  }
}
