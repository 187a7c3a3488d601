import type { Transaction } from '../platform/database.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { copyRows, rowWriter } from './row-copy.ts'

/** Every event that names an order. */
type TimelineEvent = Extract<DomainEvent, { data: { orderId: string } }>

// A map and not a list, so that a new event that names an order breaks the build here.
const handled: Record<TimelineEvent['type'], true> = {
  OrderPlaced: true,
  OrderConfirmed: true,
  OrderShipped: true,
  OrderDelivered: true,
  OrderCancelled: true,
  AuthorisationRequested: true,
  PaymentAuthorised: true,
  PaymentDeclined: true,
  CaptureRequested: true,
  PaymentCaptured: true,
  VoidRequested: true,
  PaymentVoided: true,
  RefundRequested: true,
  PaymentRefunded: true,
  RefundRefused: true,
  StockReserved: true,
  ReservationReleased: true,
  StockCommitted: true,
  FulfilmentStarted: true,
  LineReserved: true,
  LineRefused: true,
  FulfilmentAuthorised: true,
  FulfilmentDeclined: true,
  FulfilmentConfirmed: true,
  DeadlinePassed: true,
  CancellationSeen: true,
  ShipmentSeen: true,
  FulfilmentCaptured: true,
  LineCommitted: true,
  LineReleased: true,
  FulfilmentVoided: true,
  FulfilmentRefunded: true,
  FulfilmentCancelled: true,
  StepFailed: true,
  FulfilmentParked: true,
  FulfilmentRetried: true,
  StepSkipped: true,
  FulfilmentEnded: true,
}

const types = Object.keys(handled) as TimelineEvent['type'][]

/** What of an event's data a timeline may show: nothing that is personal, pays or opens the gateway's books. */
export const shown = (data: TimelineEvent['data']): Readonly<Record<string, unknown>> => {
  const { personal, paymentToken, gatewayKey, gatewayReference, ...rest } = data as Readonly<Record<string, unknown>>
  return rest
}

/** The entry of an event. */
export const entryOf = (event: RecordedEvent<TimelineEvent>) => ({
  order_id: event.data.orderId,
  position: event.position.toString(),
  stream: event.stream,
  revision: event.revision.toString(),
  type: event.type,
  recorded_at: event.recordedAt,
  actor: event.metadata.actor,
  event_id: event.id,
  command_id: event.metadata.commandId,
  causation_id: event.metadata.causationId,
  correlation_id: event.metadata.correlationId,
  data: shown(event.data),
})

const columns = [
  ['order_id', 'uuid'],
  ['position', 'bigint'],
  ['stream', 'text'],
  ['revision', 'bigint'],
  ['type', 'text'],
  ['recorded_at', 'timestamptz'],
  ['actor', 'text'],
  ['event_id', 'uuid'],
  ['command_id', 'uuid'],
  ['causation_id', 'uuid'],
  ['correlation_id', 'uuid'],
  ['data', 'json'],
] as const
const writeRow = rowWriter(columns)
const names = columns.map(([name]) => name).join(', ')
const definition = columns.map((column) => column.join(' ')).join(', ')

/** All that happened to an order, in the order of the log, with its causes. Rows are only ever added. */
export const orderTimeline: PostgresProjection<TimelineEvent['type']> = {
  name: 'order_timeline',
  version: 1,
  partitionedByStream: true,
  needsMetadata: true,
  handles: types,
  begins: types,
  ddl: loadDdl(new URL('order-timeline.sql', import.meta.url)),
  apply: async (
    transaction: Transaction,
    schema: string,
    events: readonly RecordedEvent<TimelineEvent>[],
    { bulk },
  ) => {
    const all = events.map(entryOf)
    const entries = bulk ? [] : all
    if (bulk)
      await transaction.copy?.(
        `copy ${schema}.entries (${names}) from stdin with (format binary)`,
        // What the server makes of such a one, it is asked below.
        copyRows(all, writeRow, (entry) => entries.push(entry)),
      )
    if (entries.length === 0) return
    await transaction.execute(
      {
        name: `${schema}_add`,
        text: `insert into ${schema}.entries (${names}) select ${names} from json_to_recordset($1) as e(${definition})`,
      },
      [JSON.stringify(entries)],
    )
  },
}
