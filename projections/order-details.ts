import type { Database, Queryable } from '../platform/database.ts'
import { everyGeneration } from '../platform/every-generation.ts'
import type { CustomerEvent } from '../schemas/customer.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderEvent } from '../schemas/order.ts'
import type { Erasure } from './erasure.ts'
import { evolve, type OrderRow } from './order-row.ts'
import { erasuresIn, type Forget, isForgotten } from './personal-data-eraser.ts'
import { createPersons, type Vault } from './persons.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { type RowTable, rowEffect } from './row-fold.ts'

const table: RowTable = {
  table: 'orders',
  key: 'order_id',
  columns: {
    order_id: 'uuid',
    customer_id: 'text',
    status: 'text',
    currency: 'text',
    total_amount: 'bigint',
    units: 'integer',
    lines: 'json',
    skus: 'text[]',
    placed_at: 'timestamptz',
    confirmed_at: 'timestamptz',
    shipped_at: 'timestamptz',
    delivered_at: 'timestamptz',
    cancelled_at: 'timestamptz',
    cancel_reason: 'text',
    carrier: 'text',
    tracking_id: 'text',
    personal_key: 'uuid',
    name: 'text',
    email: 'text',
    address: 'json',
  },
}

const lockTogether = {
  name: 'order_details_lock_together',
  text: 'select pg_advisory_xact_lock_shared(7310575, hashtext($1))',
}
const lockAlone = {
  name: 'order_details_lock_alone',
  text: 'select pg_advisory_xact_lock(7310575, hashtext($1))',
}

type OfOrder = RecordedEvent<OrderEvent>
type Handled = RecordedEvent<OrderEvent | CustomerEvent>
type Placed = Extract<OrderEvent, { type: 'OrderPlaced' }>
const isOfOrder = (event: Handled): event is OfOrder => !isForgotten(event)
const isPlaced = (event: Handled): event is RecordedEvent<Placed> => event.type === 'OrderPlaced'
const sealedIn = (events: readonly Handled[]) => events.filter(isPlaced).map((event) => event.data.personal)

const nobody = { name: null, email: null, address: null }

const emptyPersons = async (transaction: Queryable, schema: string, erasures: readonly Erasure[]): Promise<void> => {
  await transaction.query(
    `update ${schema}.orders set name = null, email = null, address = null
     where customer_id = any ($1::text[]) and personal_key = any ($2::uuid[])`,
    [erasures.map(({ customerId }) => customerId), erasures.flatMap(({ keyIds }) => keyIds)],
  )
}

/** Takes persons out of every generation. @returns what throws EngineUnavailable */
export const forgetInOrderDetails =
  (database: Database): Forget =>
  (erasures) =>
    everyGeneration(
      database,
      { name: 'order_details', table: 'orders', column: 'personal_key' },
      async (at, schema) => {
        await at.query(lockAlone.text, [schema])
        await emptyPersons(at, schema, erasures)
      },
    )

/** Orders, each with what its page and the order list show. */
export const orderDetails = (vault: Vault): PostgresProjection<(OrderEvent | CustomerEvent)['type']> => {
  const persons = createPersons(vault)
  return {
    name: 'order_details',
    version: 1,
    partitionedByStream: true,
    begins: ['OrderPlaced'],
    handles: [
      'OrderPlaced',
      'OrderConfirmed',
      'OrderShipped',
      'OrderDelivered',
      'OrderCancelled',
      'PersonalDataForgotten',
    ],
    ddl: loadDdl(new URL('order-details.sql', import.meta.url)),
    anticipate: (events) => persons.openAhead(sealedIn(events)),
    apply: rowEffect<OrderRow, OfOrder, Handled, Awaited<ReturnType<typeof persons.open>>>({
      table,
      isOfRow: isOfOrder,
      keyOf: (event) => event.data.orderId,
      keyOfRow: (row) => row.order_id,
      prepare: async (events) => {
        // The keys go before the rows are emptied: an order that is projected later (it may have been parked) must find
        // nothing to open, whether or not whoever forgot the customer came to destroying them.
        const keys = (await erasuresIn(events)).flatMap(({ keyIds }) => keyIds)
        if (keys.length > 0) await vault.destroy(keys)
        return persons.open(sealedIn(events))
      },
      evolve: (row, event, personOf) => evolve(row, event, isPlaced(event) ? personOf(event.data.personal) : null),
      admit: async (transaction, schema, rows, others) => {
        // A customer is forgotten in one partition and orders in another. Without the lock, a person that was opened or
        // loaded before could be written after the rows were emptied.
        await transaction.execute(others.length > 0 ? lockAlone : lockTogether, [schema])
        const keys = new Set<string>()
        for (const { name, personal_key } of rows) if (name !== null && personal_key !== null) keys.add(personal_key)
        const gone = await vault.gone([...keys])
        return (row) => (row.personal_key !== null && gone.has(row.personal_key) ? { ...row, ...nobody } : row)
      },
      conclude: async (transaction, schema, others) => {
        if (others.length > 0) await emptyPersons(transaction, schema, await erasuresIn(others))
      },
    }),
  }
}
