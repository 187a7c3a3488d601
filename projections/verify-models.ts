import type { StoreBatch } from '../platform/checkpointed-store.ts'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { LeaderboardStore } from '../platform/leaderboard-store.ts'
import type { SearchCollection, SearchIndex } from '../platform/search-index.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent, DomainEventType } from '../schemas/events.ts'
import { catalogue } from './catalogue.ts'
import { orderDetails } from './order-details.ts'
import { orderTimeline } from './order-timeline.ts'
import { payments } from './payments.ts'
import type { Vault } from './persons.ts'
import type { PostgresProjection } from './postgres-sink.ts'
import { stockLevels } from './stock-levels.ts'
import { catalogueModel } from './verify-catalogue.ts'
import { createDocumentSource } from './verify-documents.ts'
import { leaderboardsModel } from './verify-leaderboards.ts'
import type { RowModel, SumModel } from './verify-model.ts'
import { orderDetailsModel } from './verify-order-details.ts'
import { orderSearchModel } from './verify-order-search.ts'
import { orderTimelineModel } from './verify-order-timeline.ts'
import { paymentsModel } from './verify-payments.ts'
import type { PersonCheck } from './verify-persons.ts'
import { productSearchModel } from './verify-product-search.ts'
import type { RowSource } from './verify-run.ts'
import { salesModel } from './verify-sales.ts'
import { stockLevelsModel } from './verify-stock-levels.ts'
import { createLeaderboardSource, createSalesSource } from './verify-sum-sources.ts'
import type { SumSource } from './verify-sums.ts'
import { createTableSource, type VerifiedTable } from './verify-tables.ts'

type SearchCollections = Pick<SearchIndex, 'products' | 'orders'>

/** A read model with the plain fold that it must equal. */
export type Verifiable =
  | { readonly kind: 'rows'; readonly model: RowModel; source(at: Place): RowSource }
  | { readonly kind: 'sums'; readonly model: SumModel; source(at: Place): SumSource }

/** Which generation of a read model, and who checks the persons in it. */
export interface Place {
  readonly generation: number | undefined
  /** `order_details`, `order_details@2`. */
  readonly consumer: string
  /** `order_details`, `order_details_g2`. */
  readonly schema: string
  readonly persons: PersonCheck
}

export interface VerifiableDependencies {
  readonly database: Database
  readonly log: { identity(): Promise<string> }
  readonly vault: Vault
  readonly clock: Clock
  readonly partitionOf?: ((stream: string) => number) | undefined
  /** Both of a generation; undefined: the one that is live. */
  readonly leaderboards: (generation: number | undefined) => {
    readonly reading: Pick<LeaderboardStore, 'scan'>
    readonly writing: Pick<LeaderboardStore, 'prepare' | 'checkpoint' | 'applyBatch'>
  }
  readonly searchIndex: (generation: number | undefined) => SearchCollections
}

/** Every read model that can be verified, by the name of its projection. */
export const verifiables = (deps: VerifiableDependencies): ReadonlyMap<string, Verifiable> => {
  const { database, partitionOf } = deps

  const table = <Type extends DomainEventType>(
    name: string,
    key: VerifiedTable['key'],
    model: RowModel,
    { apply }: PostgresProjection<Type>,
  ): Verifiable => ({
    kind: 'rows',
    model,
    source: ({ schema, consumer }) =>
      createTableSource({
        database,
        schema,
        consumer,
        model,
        table: {
          table: name,
          key,
          // The model has chosen them by the types that the projection handles.
          apply: (transaction, at, events) =>
            apply(transaction, at, events as readonly RecordedEvent<Extract<DomainEvent, { type: Type }>>[], {
              bulk: false,
            }),
        },
        partitionOf,
      }),
  })

  // A store knows its generation, and takes the consumer by the name of the live one.
  const documents = <Document extends object>(
    name: string,
    model: RowModel,
    collectionOf: (index: SearchCollections) => Pick<SearchCollection<Document, StoreBatch, unknown>, 'scan' | 'amend'>,
  ): Verifiable => ({
    kind: 'rows',
    model,
    source: ({ generation, persons }) =>
      createDocumentSource({ collection: collectionOf(deps.searchIndex(generation)), consumer: name, model, persons }),
  })

  const byOrder = [['order_id', 'uuid']] as const
  const bySku = [['sku', 'text']] as const
  const byEntry = [...byOrder, ['position', 'bigint']] as const
  return new Map<string, Verifiable>([
    ['order_details', table('orders', byOrder, orderDetailsModel, orderDetails(deps.vault))],
    ['order_timeline', table('entries', byEntry, orderTimelineModel, orderTimeline)],
    ['stock_levels', table('stock', bySku, stockLevelsModel, stockLevels)],
    ['payments', table('payments', byOrder, paymentsModel, payments)],
    ['catalogue', table('products', bySku, catalogueModel, catalogue)],
    [
      'sales',
      {
        kind: 'sums',
        model: salesModel,
        source: ({ schema, consumer }) => createSalesSource({ database, schema, consumer, partitionOf }),
      },
    ],
    [
      'leaderboards',
      {
        kind: 'sums',
        model: leaderboardsModel(() => deps.clock.now()),
        source: ({ generation }) =>
          createLeaderboardSource({ ...deps.leaderboards(generation), log: deps.log, consumer: 'leaderboards' }),
      },
    ],
    ['product_search', documents('product_search', productSearchModel, (index) => index.products)],
    ['order_search', documents('order_search', orderSearchModel, (index) => index.orders)],
  ])
}
