import type { Row } from './contender.ts'
import { append } from './rows/append.ts'
import { appendEventStoreDb } from './rows/append-eventstoredb.ts'
import { command } from './rows/command.ts'
import { elasticsearchBulk } from './rows/elasticsearch-bulk.ts'
import { hotSku } from './rows/hot-sku.ts'
import { kafkaProjector } from './rows/kafka-projector.ts'
import { kafkaRelay } from './rows/kafka-relay.ts'
import { ordersToEnd } from './rows/orders-to-end.ts'
import { projection } from './rows/projection.ts'
import { rebuildRow } from './rows/rebuild.ts'
import { redisBoard } from './rows/redis-board.ts'
import { visibleOnEngines, visibleOnPostgres } from './rows/visible.ts'
import { visibleIdle } from './rows/visible-idle.ts'
import { visibleRebuilding } from './rows/visible-rebuilding.ts'

export const rows: readonly Row[] = [
  append(64),
  append(256),
  command,
  hotSku,
  projection,
  rebuildRow,
  ordersToEnd,
  visibleIdle,
  visibleOnPostgres,
  visibleOnEngines,
  visibleRebuilding,
  redisBoard,
  appendEventStoreDb,
  elasticsearchBulk,
  kafkaRelay,
  kafkaProjector,
]
