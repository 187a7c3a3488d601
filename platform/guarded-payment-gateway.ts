import {
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhenResult,
  isBrokenCircuitError,
  isTaskCancelledError,
  TimeoutStrategy,
  timeout,
} from 'cockatiel'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import type { GatewayFinding, GatewayOutcome, PaymentGateway } from './payment-gateway.ts'

type Failing = { readonly outcome: string }

/**
 * Guards any payment gateway: a call that takes too long has an unknown outcome, and after many failures in a row the
 * gateway is left alone for a while, which is `unavailable` and certain to have done nothing.
 *
 * @param deps.timeoutMs how long one call may take
 */
export const createGuardedPaymentGateway = (deps: {
  readonly gateway: PaymentGateway
  readonly timeoutMs: number
  readonly logger: Logger
  readonly metrics: Metrics
  /** Failures in a row that open the circuit; default 20. */
  readonly failuresToOpen?: number
  /** How long the circuit stays open before one call is let through, in milliseconds; default 2,000. */
  readonly openMs?: number
}): PaymentGateway => {
  const { gateway, logger, metrics } = deps
  const breaker = circuitBreaker(
    handleWhenResult((result) => {
      const { outcome } = result as Failing
      return outcome === 'unknown' || outcome === 'unavailable'
    }),
    { halfOpenAfter: deps.openMs ?? 2_000, breaker: new ConsecutiveBreaker(deps.failuresToOpen ?? 20) },
  )
  breaker.onBreak(() => logger.warn('the payment gateway fails again and again and is left alone for a while'))
  breaker.onReset(() => logger.info('the payment gateway answers again'))
  const limit = timeout(deps.timeoutMs, TimeoutStrategy.Aggressive)

  const once = async <Result extends GatewayOutcome | GatewayFinding>(
    operation: string,
    call: () => Promise<Result>,
  ): Promise<Result | { readonly outcome: 'unknown' }> => {
    try {
      return await limit.execute(call)
    } catch (error) {
      if (!isTaskCancelledError(error))
        logger.warn({ err: error, operation }, 'a call to the payment gateway broke off: its outcome is unknown')
      return { outcome: 'unknown' }
    }
  }

  const guarded = async <Result extends GatewayOutcome | GatewayFinding>(
    operation: string,
    call: () => Promise<Result>,
  ): Promise<Result | { outcome: 'unknown' } | { outcome: 'unavailable'; reason: string }> => {
    const seconds = metrics.gatewaySeconds.startTimer({ operation })
    try {
      const result = await breaker.execute(() => once(operation, call))
      seconds({ outcome: result.outcome })
      return result
    } catch (error) {
      if (!isBrokenCircuitError(error)) throw error
      seconds({ outcome: 'unavailable' })
      return { outcome: 'unavailable', reason: 'it failed too often of late' }
    }
  }

  return {
    authorise: (call) => guarded('authorise', () => gateway.authorise(call)),
    capture: (call) => guarded('capture', () => gateway.capture(call)),
    void: (call) => guarded('void', () => gateway.void(call)),
    refund: (call) => guarded('refund', () => gateway.refund(call)),
    find: (key) => guarded('find', () => gateway.find(key)),
  }
}
