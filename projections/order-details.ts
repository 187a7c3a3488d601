import type { Database, Queryable, Transaction } from '../platform/database.ts'
import { everyGeneration } from '../platform/every-generation.ts'
import type { CustomerEvent } from '../schemas/customer.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderEvent } from '../schemas/order.ts'
import { evolve, type OrderRow } from './order-row.ts'
import type { Erasure, Forget } from './personal-data-eraser.ts'
import { createPersons, type Vault } from './persons.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { foldRows, rowStatements } from './row-fold.ts'

const statements = rowStatements({
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
})

const lockTogether = {
  name: 'order_details_lock_together',
  text: 'select pg_advisory_xact_lock_shared(7310575, hashtext($1))',
}
const lockAlone = {
  name: 'order_details_lock_alone',
  text: 'select pg_advisory_xact_lock(7310575, hashtext($1))',
}

type Placed = Extract<OrderEvent, { type: 'OrderPlaced' }>
const isForgotten = (event: RecordedEvent<OrderEvent | CustomerEvent>): event is RecordedEvent<CustomerEvent> =>
  event.type === 'PersonalDataForgotten'
const isPlaced = (event: RecordedEvent<OrderEvent | CustomerEvent>): event is RecordedEvent<Placed> =>
  event.type === 'OrderPlaced'

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
    anticipate: (events) => persons.openAhead(events.filter(isPlaced).map((event) => event.data.personal)),
    apply: async (
      transaction: Transaction,
      schema: string,
      all: readonly RecordedEvent<OrderEvent | CustomerEvent>[],
      { bulk },
    ): Promise<void> => {
      const forgotten = all.filter(isForgotten)
      const events = all.filter((event): event is RecordedEvent<OrderEvent> => !isForgotten(event))
      const keys = forgotten.flatMap((event) => event.data.keyIds)
      // A customer is forgotten in one partition and orders in another. Without the lock, a person that was opened or
      // loaded before could be written after the rows were emptied.
      await transaction.execute(keys.length > 0 ? lockAlone : lockTogether, [schema])
      // The keys go before the rows are emptied: an order that is projected later (it may have been parked) must find
      // nothing to open, whether or not whoever forgot the customer came to destroying them.
      if (keys.length > 0) await vault.destroy(keys)
      const placed = events.filter(isPlaced)
      const opened = await persons.open(placed.map((event) => event.data.personal))
      const personOf = new Map(placed.map((event, index) => [event.id, opened[index] ?? null]))
      await foldRows<OrderRow, RecordedEvent<OrderEvent>>(transaction, statements(schema), {
        events,
        bulk,
        keyOf: (event) => event.data.orderId,
        keyOfRow: (row) => row.order_id,
        evolve: (row, event) => evolve(row, event, personOf.get(event.id) ?? null),
      })
      if (keys.length > 0)
        await emptyPersons(
          transaction,
          schema,
          forgotten.map(({ data }) => data),
        )
    },
  }
}
