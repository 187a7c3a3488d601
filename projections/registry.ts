import type { Database } from '../platform/database.ts'
import { catalogue } from './catalogue.ts'
import { forgetInOrderDetails, orderDetails } from './order-details.ts'
import { orderTimeline } from './order-timeline.ts'
import { payments } from './payments.ts'
import { personalDataEraser } from './personal-data-eraser.ts'
import type { Vault } from './persons.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'
import { sales } from './sales.ts'
import { stockLevels } from './stock-levels.ts'

/**
 * Every projection that lives in PostgreSQL whatever other engines are configured.
 *
 * @param deps.forgetSearch takes persons out of every generation of the search; default: there is none
 */
export const postgresProjections = ({
  database,
  vault,
  forgetSearch,
}: {
  readonly database: Database
  readonly vault: Vault
  readonly forgetSearch?: (keyIds: readonly string[]) => Promise<void>
}): readonly Projection[] => [
  createPostgresProjection(database, orderDetails(vault)),
  createPostgresProjection(database, orderTimeline),
  createPostgresProjection(database, stockLevels),
  createPostgresProjection(database, payments),
  createPostgresProjection(database, sales),
  createPostgresProjection(database, catalogue),
  createPostgresProjection(
    database,
    personalDataEraser(vault, [
      forgetInOrderDetails(database),
      async (erasures) => forgetSearch?.(erasures.flatMap(({ keyIds }) => keyIds)),
    ]),
  ),
]
