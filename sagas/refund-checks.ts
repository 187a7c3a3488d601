import { v5 } from 'uuid'
import type { Clock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { PaymentEvent } from '../schemas/payment.ts'
import { paymentStream } from '../schemas/streams.ts'
import { actor, type CommandDoor } from './issue-step.ts'
import { refundIdOf } from './step-commands.ts'
import type { SagaTables } from './tables.ts'

export const timerOfRefund = (refundId: string): string => `refund:${refundId}`

type RefundEvent = Extract<PaymentEvent, { type: 'RefundRequested' | 'PaymentRefunded' | 'RefundRefused' }>

export interface RefundChecks {
  /** A refund was announced, so its outcome is awaited; or it came. */
  seen(event: RefundEvent): Promise<void>
  /** The outcome has been awaited long enough: ask for it, unless it came meanwhile. */
  check(orderId: string, refundId: string): Promise<void>
}

/**
 * Sees to it that a refund which was announced has an outcome, even if the process that asked for it died: the same
 * refund is asked for again, and the payment procedure looks its key up before anything else.
 */
export const createRefundChecks = (deps: {
  readonly store: EventStore
  readonly commands: CommandDoor
  readonly tables: Pick<SagaTables, 'setTimer' | 'clearTimer'>
  readonly clock: Clock
  readonly logger: Logger
  readonly refundCheckMs: number
  /** Told when the next check is due. */
  readonly expect: (dueAt: string) => void
}): RefundChecks => {
  const { store, commands, tables, clock, logger, refundCheckMs } = deps

  const later = async (orderId: string, refundId: string): Promise<void> => {
    const dueAt = new Date(clock.now().getTime() + refundCheckMs)
    await tables.setTimer(orderId, timerOfRefund(refundId), dueAt)
    deps.expect(dueAt.toISOString())
  }

  return {
    seen: async ({ type, data: { orderId, refundId } }) => {
      // The saga's own refund has a step with retries to see to it.
      if (refundId === refundIdOf(orderId)) return
      if (type === 'RefundRequested') await later(orderId, refundId)
      else await tables.clearTimer(orderId, timerOfRefund(refundId))
    },
    check: async (orderId, refundId) => {
      const { events } = await store.readStream(paymentStream(orderId))
      const about = events
        .map((stored) => ({ stored, event: decodeEvent(stored) }))
        .filter(({ event }) => 'refundId' in event.data && event.data.refundId === refundId)
      const requested = about.find(({ event }) => event.type === 'RefundRequested')
      if (requested?.event.type === 'RefundRequested' && about.every(({ event }) => event.type === 'RefundRequested')) {
        const { amount, reason } = requested.event.data
        const { correlationId, traceparent } = requested.stored.metadata
        const commandId = v5(`check of refund ${refundId}`, requested.stored.id)
        try {
          await commands.handle(
            { type: 'RefundPayment', at: clock.now().toISOString(), orderId, refundId, amount, reason },
            {
              commandId,
              correlationId,
              causationId: requested.stored.id,
              actor,
              ...(traceparent === undefined ? {} : { traceparent }),
            },
          )
        } catch (error) {
          const open =
            error instanceof EngineUnavailable ||
            !(error instanceof CommandRejected) ||
            error.code === 'payment-outcome-unknown' ||
            error.code === 'concurrent-update'
          const message = error instanceof Error ? error.message : String(error)
          logger.warn({ orderId, refundId, error: message, open }, 'a refund without an outcome was asked for again')
          if (open) return later(orderId, refundId)
        }
      }
      await tables.clearTimer(orderId, timerOfRefund(refundId))
    },
  }
}
