import type { RecordedEvent } from '../schemas/envelope.ts'
import type { PaymentEvent } from '../schemas/payment.ts'
import { evolve, type PaymentRow } from './payment-row.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { type RowTable, rowEffect } from './row-fold.ts'

const table: RowTable = {
  table: 'payments',
  key: 'order_id',
  columns: {
    order_id: 'uuid',
    customer_id: 'text',
    status: 'text',
    currency: 'text',
    requested_amount: 'bigint',
    authorised_amount: 'bigint',
    captured_amount: 'bigint',
    refunded_amount: 'bigint',
    decline_reason: 'text',
    gateway_reference: 'text',
    refunds: 'json',
    requested_at: 'timestamptz',
    authorised_at: 'timestamptz',
    declined_at: 'timestamptz',
    captured_at: 'timestamptz',
    voided_at: 'timestamptz',
  },
}

type Recorded = RecordedEvent<PaymentEvent>

/** What was charged and given back for each order. */
export const payments: PostgresProjection<PaymentEvent['type']> = {
  name: 'payments',
  version: 1,
  partitionedByStream: true,
  handles: [
    'AuthorisationRequested',
    'PaymentAuthorised',
    'PaymentDeclined',
    'CaptureRequested',
    'PaymentCaptured',
    'VoidRequested',
    'PaymentVoided',
    'RefundRequested',
    'PaymentRefunded',
    'RefundRefused',
  ],
  ddl: loadDdl(new URL('payments.sql', import.meta.url)),
  apply: rowEffect<PaymentRow, Recorded, Recorded, undefined>({
    table,
    keyOf: (event) => event.data.orderId,
    keyOfRow: (row) => row.order_id,
    prepare: async () => undefined,
    evolve,
  }),
}
