import type { DomainEventType } from './events.ts'

/** Stored names are a contract of their own: renaming a type in the code never renames history. */
export const storedNames = {
  OrderPlaced: 'order.placed.v2',
  OrderConfirmed: 'order.confirmed.v1',
  OrderShipped: 'order.shipped.v1',
  OrderDelivered: 'order.delivered.v1',
  OrderCancelled: 'order.cancelled.v1',
  AuthorisationRequested: 'payment.authorisation-requested.v1',
  PaymentAuthorised: 'payment.authorised.v1',
  PaymentDeclined: 'payment.declined.v1',
  CaptureRequested: 'payment.capture-requested.v1',
  PaymentCaptured: 'payment.captured.v1',
  VoidRequested: 'payment.void-requested.v1',
  PaymentVoided: 'payment.voided.v1',
  RefundRequested: 'payment.refund-requested.v1',
  PaymentRefunded: 'payment.refunded.v1',
  RefundRefused: 'payment.refund-refused.v1',
  StockReceived: 'inventory.received.v1',
  StockAdjusted: 'inventory.adjusted.v1',
  StockReserved: 'inventory.reserved.v1',
  ReservationReleased: 'inventory.reservation-released.v1',
  StockCommitted: 'inventory.committed.v1',
  ProductRegistered: 'product.registered.v1',
  ProductRepriced: 'product.repriced.v1',
  PersonalDataForgotten: 'customer.personal-data-forgotten.v1',
  FulfilmentStarted: 'fulfilment.started.v1',
  LineReserved: 'fulfilment.line-reserved.v1',
  LineRefused: 'fulfilment.line-refused.v1',
  FulfilmentAuthorised: 'fulfilment.authorised.v1',
  FulfilmentDeclined: 'fulfilment.declined.v1',
  FulfilmentConfirmed: 'fulfilment.confirmed.v1',
  DeadlinePassed: 'fulfilment.deadline-passed.v1',
  CancellationSeen: 'fulfilment.cancellation-seen.v1',
  ShipmentSeen: 'fulfilment.shipment-seen.v1',
  FulfilmentCaptured: 'fulfilment.captured.v1',
  LineCommitted: 'fulfilment.line-committed.v1',
  LineReleased: 'fulfilment.line-released.v1',
  FulfilmentVoided: 'fulfilment.voided.v1',
  FulfilmentRefunded: 'fulfilment.refunded.v1',
  FulfilmentCancelled: 'fulfilment.cancelled.v1',
  StepFailed: 'fulfilment.step-failed.v1',
  FulfilmentParked: 'fulfilment.parked.v1',
  FulfilmentRetried: 'fulfilment.retried.v1',
  StepSkipped: 'fulfilment.step-skipped.v1',
  FulfilmentEnded: 'fulfilment.ended.v1',
} as const satisfies Record<DomainEventType, string>

export type StoredName = (typeof storedNames)[DomainEventType]

/** The stored names of all versions of these event types, for filters. */
export const namesOf = (...types: readonly DomainEventType[]): string[] =>
  types.flatMap((type) => {
    const newest = storedNames[type]
    const [, stem, version] = /^(.+)\.v(\d+)$/.exec(newest) ?? []
    return Array.from({ length: Number(version) }, (_, index) => `${stem}.v${index + 1}`)
  })

/** The name under which the event of a stored name, in any version, is written today; undefined for an unknown event. */
export const newestNameOf = (storedName: string): StoredName | undefined => {
  const stem = storedName.replace(/\.v\d+$/, '')
  return Object.values(storedNames).find((newest) => newest.replace(/\.v\d+$/, '') === stem)
}
