import type { Money } from '../schemas/primitives.ts'

/**
 * What came of a call. `declined` means that nothing was done and never will be by itself. `unknown`: it may have been
 * done (a time-out, a lost reply); look it up. `unavailable`: it was certainly not done; try again later.
 */
export type GatewayOutcome =
  | { readonly outcome: 'approved'; readonly reference: string }
  | { readonly outcome: 'declined'; readonly reason: string }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'unavailable'; readonly reason: string }

/** `absent`: the gateway has never heard of the key, or has done nothing under it. */
export type GatewayFinding =
  | { readonly outcome: 'approved'; readonly reference: string }
  | { readonly outcome: 'declined'; readonly reason: string }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'unavailable'; readonly reason: string }

/**
 * A payment provider. Each call carries a key of ours; a call repeated with its key is done once and answered alike,
 * but for a capture or refund that was declined, which a repeat tries anew. Keys: 1 to 200 characters.
 */
export interface PaymentGateway {
  /** Holds the amount on the customer's card. */
  authorise(call: {
    readonly key: string
    readonly orderId: string
    readonly amount: Money
    readonly paymentToken: string
  }): Promise<GatewayOutcome>
  /** Takes an amount that is held, in whole. */
  capture(call: {
    readonly key: string
    readonly authorisationKey: string
    readonly amount: Money
  }): Promise<GatewayOutcome>
  /**
   * Lets go of what is held. When there is no such authorisation, its key is marked, so that one that comes late is
   * declined. Declined only when the amount was captured.
   */
  void(call: { readonly key: string; readonly authorisationKey: string }): Promise<GatewayOutcome>
  /** Gives back a part of what was captured, never more in sum. */
  refund(call: {
    readonly key: string
    readonly authorisationKey: string
    readonly amount: Money
  }): Promise<GatewayOutcome>
  /** What came of the call with this key. */
  find(key: string): Promise<GatewayFinding>
}
