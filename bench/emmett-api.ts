// The part of Emmett's API that the benchmark uses. Declared here so that the project's types can be checked without
// the peer, which only `npm run bench` installs.
import type { Pool } from 'pg'

export interface Event {
  readonly type: string
  readonly data: object
}

export interface RetryOptions {
  readonly retries: number
  /** Milliseconds, as is `maxTimeout`. */
  readonly minTimeout: number
  readonly maxTimeout: number
  readonly factor: number
  readonly randomize: boolean
  readonly shouldRetryError: (error: unknown) => boolean
}

export interface PostgresEventStore {
  readonly schema: { migrate(): Promise<unknown> }
  appendToStream(
    stream: string,
    events: readonly Event[],
    options?: { readonly expectedStreamVersion?: string | bigint },
  ): Promise<unknown>
  close(): Promise<void>
}

/** `@event-driven-io/emmett` */
export interface Emmett {
  readonly STREAM_DOES_NOT_EXIST: string
  readonly isExpectedVersionConflictError: (error: unknown) => boolean
  readonly CommandHandler: <State>(options: {
    readonly evolve: (state: State, event: Event) => State
    readonly initialState: () => State
    readonly retry?: { readonly onVersionConflict: RetryOptions }
  }) => (store: PostgresEventStore, id: string, decide: (state: State) => Event | Event[]) => Promise<unknown>
}

/** A statement whose values are escaped into it. */
export type SQL = string & { readonly __brand: 'SQL' }

/** `@event-driven-io/dumbo` */
export interface Dumbo {
  /** `%L` is a literal, `%s` is inserted as it is. */
  readonly sql: (text: string, ...values: readonly unknown[]) => SQL
  readonly rawSql: (text: string) => SQL
}

export interface Projection {
  readonly name?: string
}

/** `@event-driven-io/emmett-postgresql` */
export interface EmmettPostgres {
  readonly getPostgreSQLEventStore: (
    connectionString: string,
    options: { readonly connectionOptions: { readonly pool: Pool } },
  ) => PostgresEventStore
  readonly postgreSQLRawSQLProjection: (options: {
    readonly name: string
    readonly canHandle: readonly string[]
    readonly evolve: (event: Event & { readonly metadata: { readonly streamName: string } }) => SQL
    readonly init: () => SQL
  }) => Projection
  readonly postgreSQLEventStoreConsumer: (options: {
    readonly connectionString: string
    readonly stopWhen: { readonly noMessagesLeft: boolean }
    readonly pulling: { readonly batchSize: number; readonly pullingFrequencyInMs: number }
  }) => {
    projector(options: { readonly projection: Projection; readonly processorId: string }): unknown
    start(): Promise<void>
    close(): Promise<void>
  }
}
