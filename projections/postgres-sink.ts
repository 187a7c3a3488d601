import { readFileSync } from 'node:fs'
import { lockCheckpoint, moveCheckpoint } from '../platform/checkpoints.ts'
import type { Database, Transaction } from '../platform/database.ts'
import { createReadModelTables } from '../platform/read-model-tables.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent, DomainEventType } from '../schemas/events.ts'
import { namesOf } from '../schemas/stored-names.ts'
import type { Projection, ProjectionSink } from './projection.ts'

/** The tables of a read model, and apart from them the indexes, which are cheaper to build after a bulk load. */
export interface Ddl {
  readonly tables: string
  readonly indexes: string
}

/** A read model in PostgreSQL. */
export interface PostgresProjection<Type extends DomainEventType> {
  readonly name: string
  readonly version: number
  readonly handles: readonly Type[]
  /** `{schema}` in it stands for the schema's name. */
  readonly ddl: Ddl
  /** Applies events in log order. Whatever it writes, it writes through the transaction. */
  apply(
    transaction: Transaction,
    schema: string,
    events: readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[],
  ): Promise<void>
  /** See `Projection`. */
  readonly anticipate?: (events: readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[]) => void
}

/** Reads a .sql file that lies beside a projection; what follows the line `-- Indexes` can be built later. */
export const loadDdl = (url: URL): Ddl => {
  const [tables = '', indexes = ''] = readFileSync(url, 'utf8').split(/^-- Indexes$/m)
  return { tables, indexes }
}

/** Puts a read model into a PostgreSQL schema of its own name: one transaction per batch. */
export const createPostgresProjection = <Type extends DomainEventType>(
  database: Database,
  definition: PostgresProjection<Type>,
): Projection => {
  const { name: consumer, name: schema, ddl } = definition
  const { logIdentity, ...tables } = createReadModelTables({
    database,
    schema,
    create: async (transaction) => {
      if (ddl.tables !== '') await transaction.query((ddl.tables + ddl.indexes).replaceAll('{schema}', schema))
    },
  })
  // Whoever hands over events has chosen them by `types`.
  const handled = (events: readonly RecordedEvent[]) =>
    events as readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[]

  const sink: ProjectionSink = {
    prepare: tables.prepare,
    checkpoint: (partition) => tables.checkpoint(consumer, partition),
    apply: async ({ partition, from, to, events, record }) => {
      const move = { consumer, partition, from, to }
      if (events.length === 0 && !record)
        return (await moveCheckpoint(database, move, logIdentity())) ? 'applied' : 'fenced'
      return database.transaction(async (transaction) => {
        // Nothing was written when it is fenced, so there is nothing to roll back.
        if (!(await moveCheckpoint(transaction, move, logIdentity()))) return 'fenced'
        if (events.length > 0) await definition.apply(transaction, schema, handled(events))
        await record?.(transaction)
        return 'applied'
      })
    },
    applyLate: ({ partition, events, record }) =>
      database.transaction(async (transaction) => {
        await lockCheckpoint(transaction, consumer, partition)
        await definition.apply(transaction, schema, handled(events))
        await record?.(transaction)
      }),
    reset: (record) => tables.reset(consumer, record),
  }
  return {
    name: definition.name,
    version: definition.version,
    types: namesOf(...definition.handles),
    sink,
    anticipate: definition.anticipate && ((events) => definition.anticipate?.(handled(events))),
  }
}
