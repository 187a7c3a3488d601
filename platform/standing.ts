import type { Queryable } from './database.ts'

/** Where a consumer stood at the moment when what it wrote was read. */
export interface Standing {
  /** By partition; sealed ones too. None: it has applied nothing. */
  readonly checkpoints: readonly { readonly partition: number; readonly position: bigint }[]
  /** Positions that it has gone past without the events that are there, because they are parked. */
  readonly skipped: readonly bigint[]
  /** Of a read model in PostgreSQL: which of its generations was read. */
  readonly generation?: number | undefined
}

/** What was read was emptied or replaced while it was read; what was seen of it belongs together no more. */
export class ReadModelReplaced extends Error {
  constructor(name: string) {
    super(`${name} was emptied or replaced while it was read`)
    this.name = 'ReadModelReplaced'
  }
}

/** The events that a consumer has parked, wherever its checkpoints are. */
export const readSkipped = async (database: Queryable, consumer: string): Promise<bigint[]> => {
  const rows = await database.query<{ position: bigint }>(
    'select position from platform.parked_events where projection = $1 order by position',
    [consumer],
  )
  return rows.map(({ position }) => position)
}

/** Where a consumer stands whose checkpoints are in PostgreSQL. */
export const readStanding = async (database: Queryable, consumer: string): Promise<Standing> => {
  const checkpoints = await database.query<Standing['checkpoints'][number] & { generation: number }>(
    'select partition, position, generation from platform.checkpoints where consumer = $1 order by partition',
    [consumer],
  )
  return { checkpoints, skipped: await readSkipped(database, consumer), generation: checkpoints[0]?.generation }
}
