import { readFileSync } from 'node:fs'
import { lockCheckpoint, moveCheckpoint } from '../platform/checkpoints.ts'
import type { Database } from '../platform/database.ts'
import { GenerationReplaced } from '../platform/failures.ts'
import { createReadModelGenerations } from '../platform/read-model-generations.ts'
import { createReadModelTables } from '../platform/read-model-tables.ts'
import { type Ddl, splitDdl } from '../platform/schema-sql.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent, DomainEventType } from '../schemas/events.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { builtVersion } from './admission.ts'
import type { BuildableSink, Projection } from './projection.ts'
import type { Effect } from './row-fold.ts'
import { type Commit, inWindows } from './window-sink.ts'

/** A read model in PostgreSQL. */
export interface PostgresProjection<Type extends DomainEventType> {
  readonly name: string
  readonly version: number
  readonly handles: readonly Type[]
  /** `{schema}` in it stands for the schema's name. */
  readonly ddl: Ddl
  /** Those that each begin a row; see `Projection`. */
  readonly begins?: readonly Type[]
  /** See `Projection`. */
  readonly partitionedByStream?: boolean
  /** See `Projection`. */
  readonly needsMetadata?: boolean
  readonly apply: Effect<RecordedEvent<Extract<DomainEvent, { type: Type }>>>
  /** See `Projection`. */
  readonly anticipate?: (events: readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[]) => void
}

/** Reads a .sql file that lies beside a projection; what follows the line `-- Indexes` can be built later. */
export const loadDdl = (url: URL): Ddl => splitDdl(readFileSync(url, 'utf8'))

/**
 * Puts a generation of a read model into a PostgreSQL schema of its own: one transaction per batch.
 *
 * @param generation default: the live one, whose schema has the projection's name
 */
const createSink = <Type extends DomainEventType>(
  database: Database,
  { name, version, ddl, apply }: PostgresProjection<Type>,
  generation?: number,
): BuildableSink => {
  const tables = createReadModelTables({
    database,
    name,
    generation,
    create: async (transaction, schema) => {
      if (ddl.tables !== '') await transaction.query(ddl.tables.replaceAll('{schema}', schema))
    },
    indexes: (schema) => ddl.indexes.map((statement) => statement.replaceAll('{schema}', schema)),
  })
  const { schema } = tables
  const consumer = tables.consumerOf(name)
  const bulk = generation !== undefined
  const commit: Commit = ({ partition, from, to }, effect) =>
    database.transaction(async (transaction) => {
      // Nothing was written when it is fenced, so there is nothing to roll back.
      if (!(await moveCheckpoint(transaction, { consumer, partition, from, to }, tables.of()))) return 'fenced'
      await effect(transaction)
      return 'applied'
    })
  const sink: BuildableSink = {
    prepare: tables.prepare,
    complete: tables.complete,
    settle: (partitions) => tables.settle(name, partitions),
    checkpoint: (partition) => tables.checkpoint(name, partition),
    apply: async ({ partition, from, to, events, record }) => {
      const move = { consumer, partition, from, to }
      if (events.length === 0 && !record)
        return (await moveCheckpoint(database, move, tables.of())) ? 'applied' : 'fenced'
      return commit(move, async (transaction) => {
        if (events.length > 0) await apply(transaction, schema, handledBy<Type>(events), { bulk })
        await record?.(transaction)
      })
    },
    applyLate: ({ partition, events, record }) =>
      database.transaction(async (transaction) => {
        await lockCheckpoint(transaction, consumer, partition)
        // The one that is live now, whoever was waited for, may be of another version of the code.
        if (!bulk && ((await builtVersion(transaction, name)) ?? version) !== version)
          throw new GenerationReplaced(name)
        if (events.length > 0) await apply(transaction, schema, handledBy<Type>(events), { bulk: false })
        await record?.(transaction)
      }),
    reset: (record) => tables.reset(name, record),
  }
  const { openWindow } = apply
  if (!bulk || !openWindow) return sink
  return {
    ...sink,
    inWindows: (windowEvents) => {
      const { fold, ...window } = openWindow(database, schema)
      return inWindows({
        ...{ sink, commit, windowEvents },
        window: { ...window, fold: (events) => fold(handledBy<Type>(events)) },
      })
    },
  }
}

/** Whoever hands over events has chosen them by `types`. */
const handledBy = <Type extends DomainEventType>(events: readonly RecordedEvent[]) =>
  events as readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[]

/** A projection into PostgreSQL, whose generations are schemas. */
export const createPostgresProjection = <Type extends DomainEventType>(
  database: Database,
  definition: PostgresProjection<Type>,
): Projection => {
  const { name, version, handles, begins, ddl, anticipate, partitionedByStream, needsMetadata } = definition
  return {
    name,
    version,
    types: namesOf(...handles),
    sink: createSink(database, definition),
    generations:
      ddl.tables === ''
        ? undefined
        : createReadModelGenerations(database, name, (generation) => createSink(database, definition, generation)),
    begins: begins && namesOf(...begins),
    partitionedByStream,
    needsMetadata,
    anticipate: anticipate && ((events) => anticipate(handledBy<Type>(events))),
  }
}
