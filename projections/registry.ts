import type { Database } from '../platform/database.ts'
import { catalogue } from './catalogue.ts'
import { orderDetails } from './order-details.ts'
import { orderTimeline } from './order-timeline.ts'
import { payments } from './payments.ts'
import { personalDataEraser } from './personal-data-eraser.ts'
import type { Vault } from './persons.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'
import { sales } from './sales.ts'
import { stockLevels } from './stock-levels.ts'

/** Every projection that lives in PostgreSQL whatever other engines are configured. */
export const postgresProjections = ({
  database,
  vault,
}: {
  readonly database: Database
  readonly vault: Vault
}): readonly Projection[] => [
  createPostgresProjection(database, orderDetails(vault)),
  createPostgresProjection(database, orderTimeline),
  createPostgresProjection(database, stockLevels),
  createPostgresProjection(database, payments),
  createPostgresProjection(database, sales),
  createPostgresProjection(database, catalogue),
  createPostgresProjection(database, personalDataEraser(vault)),
]
