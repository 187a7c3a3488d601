import type { EventStore } from '../platform/event-store.ts'
import { type AuditFold, createAuditFold } from './audit-fold.ts'
import type { Verifier } from './verify.ts'
import { tellDifference } from './verify-sentence.ts'

/** What the payment provider itself has on its books for one order. */
export interface LedgerEntry {
  readonly orderId: string
  /** Authorisations that stand: granted and neither voided nor captured. */
  readonly openAuthorisations: number
  /** Charges: authorisations granted under different keys. */
  readonly charges: number
}

export interface AuditReport {
  readonly clean: boolean
  /** Products whose stock was at any moment reserved beyond what was on hand. */
  readonly oversold: number
  /** Orders charged more than once, by the log or by the provider's books. */
  readonly doubleCharges: number
  /** Acknowledged orders that are not in the log or have not ended, and units held for orders that have. */
  readonly lost: number
  /** Cancelled orders with money still held. */
  readonly openAuthorisations: number
  /** Rows, sums and documents of read models that differ from the log. */
  readonly readModelsDiffer: number
}

export interface Audit {
  readonly report: AuditReport
  /** Events folded. */
  readonly events: number
  readonly fold: AuditFold
  /** The first differences in words, at most 20. */
  readonly differences: readonly string[]
}

const pageSize = 5_000

const foldLog = async (store: EventStore): Promise<AuditFold> => {
  const fold = createAuditFold()
  const head = await store.head()
  for (let after = 0n; after < head; ) {
    const page = await store.readAll({ after, limit: pageSize })
    for (const event of page.events) fold.apply(event)
    after = page.position
  }
  return fold
}

/**
 * Folds the whole log for what must never be: stock that was oversold, charges made twice, orders that were lost, money
 * still held; and verifies every read model.
 *
 * @param acknowledged ids of orders that some client was told were placed
 * @param ledger the payment provider's own books; empty when it keeps none that can be read
 */
export const auditLog = async (deps: {
  readonly store: EventStore
  readonly acknowledged: readonly string[]
  readonly ledger: readonly LedgerEntry[]
  readonly verifier: Verifier
}): Promise<Audit> => {
  const fold = await foldLog(deps.store)
  const differences: string[] = []
  const note = (sentence: string) => {
    if (differences.length < 20) differences.push(sentence)
  }

  const oversold = [...fold.stock].filter(([, item]) => item.oversold)
  for (const [sku] of oversold) note(`${sku} was oversold`)

  const doublyCharged = new Set<string>()
  for (const [orderId, payment] of fold.payments)
    if (payment.authorisations > 1 || payment.captures > 1) doublyCharged.add(orderId)
  for (const entry of deps.ledger) if (entry.charges > 1) doublyCharged.add(entry.orderId)
  for (const orderId of doublyCharged) note(`order ${orderId} was charged more than once`)

  const held = new Map(deps.ledger.map((entry) => [entry.orderId, entry.openAuthorisations]))
  let openAuthorisations = 0
  for (const [orderId, order] of fold.orders) {
    if (order.status !== 'cancelled') continue
    const payment = fold.payments.get(orderId)
    const openInLog =
      payment !== undefined && payment.authorisations > 0 && payment.captures === 0 && payment.ended === null
    if (openInLog || (held.get(orderId) ?? 0) > 0) {
      openAuthorisations += 1
      note(`order ${orderId} is cancelled and its payment is still authorised`)
    }
  }

  const ended = (orderId: string) => ['completed', 'cancelled', 'parked'].includes(fold.fulfilments.get(orderId) ?? '')
  const lost = new Set<string>()
  for (const orderId of new Set(deps.acknowledged))
    if (!fold.orders.has(orderId)) {
      lost.add(orderId)
      note(`order ${orderId} was acknowledged and is not in the log`)
    } else if (!ended(orderId)) {
      lost.add(orderId)
      note(`order ${orderId} has not reached an end (${fold.orders.get(orderId)?.status})`)
    }
  for (const [sku, item] of fold.stock)
    for (const orderId of item.reservations.keys())
      if (['completed', 'cancelled'].includes(fold.fulfilments.get(orderId) ?? '')) {
        lost.add(`${orderId} ${sku}`)
        note(`${sku} is still reserved for order ${orderId}, which has ended`)
      }

  let readModelsDiffer = 0
  for (const name of deps.verifier.names) {
    const { missing, unexpected, differing, differences: found } = await deps.verifier.verify(name)
    readModelsDiffer += missing + unexpected + differing
    for (const difference of found) note(tellDifference(name, difference))
  }

  const clean = oversold.length + doublyCharged.size + lost.size + openAuthorisations + readModelsDiffer === 0
  return {
    report: {
      clean,
      oversold: oversold.length,
      doubleCharges: doublyCharged.size,
      lost: lost.size,
      openAuthorisations,
      readModelsDiffer,
    },
    events: fold.events(),
    fold,
    differences,
  }
}
