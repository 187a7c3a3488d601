import type { GatewayFinding, GatewayOutcome, PaymentGateway } from '../../platform/payment-gateway.ts'

/** One authorisation on the provider's books. */
export interface BookedAuthorisation {
  readonly orderId: string
  status: 'approved' | 'declined' | 'captured' | 'voided'
  readonly amount: number
  refunded: number
}

export interface MemoryPaymentGateway extends PaymentGateway {
  /** The provider's books by authorisation key. */
  readonly books: ReadonlyMap<string, BookedAuthorisation>
  /** What the next calls do beside their work: one entry per call, then none. */
  readonly mishaps: ('lost-reply' | 'unavailable')[]
}

const approved = (key: string): GatewayOutcome & GatewayFinding => ({ outcome: 'approved', reference: key })
const declined = (reason: string): GatewayOutcome & GatewayFinding => ({ outcome: 'declined', reason })

/** A payment provider in memory: `tok_decline*` declines, `tok_capture_fails*` is never captured. */
export const createMemoryPaymentGateway = (): MemoryPaymentGateway => {
  const books = new Map<string, BookedAuthorisation>()
  const answers = new Map<string, GatewayOutcome & GatewayFinding>()
  const uncapturable = new Set<string>()
  const mishaps: ('lost-reply' | 'unavailable')[] = []

  const call = async (
    key: string,
    work: () => GatewayOutcome & GatewayFinding,
    remembersRefusal = true,
  ): Promise<GatewayOutcome> => {
    const mishap = mishaps.shift()
    if (mishap === 'unavailable') return { outcome: 'unavailable', reason: 'mishap' }
    const answer = answers.get(key) ?? work()
    if (answer.outcome === 'approved' || remembersRefusal) answers.set(key, answer)
    await Promise.resolve()
    return mishap === 'lost-reply' ? { outcome: 'unknown' } : answer
  }

  return {
    books,
    mishaps,
    authorise: ({ key, orderId, amount, paymentToken }) =>
      call(key, () => {
        if (books.get(key)?.status === 'voided') return declined('authorisation_voided')
        const refused = paymentToken.startsWith('tok_decline')
        if (paymentToken.startsWith('tok_capture_fails')) uncapturable.add(key)
        books.set(key, { orderId, status: refused ? 'declined' : 'approved', amount: amount.amount, refunded: 0 })
        return refused ? declined('card_declined') : approved(key)
      }),
    capture: ({ key, authorisationKey }) =>
      call(
        key,
        () => {
          const booked = books.get(authorisationKey)
          if (booked?.status !== 'approved' || uncapturable.has(authorisationKey)) return declined('capture_failed')
          booked.status = 'captured'
          return approved(key)
        },
        false,
      ),
    void: ({ key, authorisationKey }) =>
      call(key, () => {
        const booked = books.get(authorisationKey)
        if (!booked) books.set(authorisationKey, { orderId: '', status: 'voided', amount: 0, refunded: 0 })
        else if (booked.status === 'captured') return declined('already_captured')
        else if (booked.status === 'approved') booked.status = 'voided'
        return approved(key)
      }),
    refund: ({ key, authorisationKey, amount }) =>
      call(
        key,
        () => {
          const booked = books.get(authorisationKey)
          if (booked?.status !== 'captured' || booked.refunded + amount.amount > booked.amount)
            return declined('amount_exceeds_captured')
          booked.refunded += amount.amount
          return approved(key)
        },
        false,
      ),
    find: async (key) => answers.get(key) ?? { outcome: 'absent' },
  }
}
