import type { Database } from '../platform/database.ts'
import { unsealedOnly } from '../platform/partitioning.ts'
import type { Log } from './admission.ts'
import type { Projection } from './projection.ts'

interface Row {
  readonly name: string
  readonly version: number | null
  readonly identity: string | null
  readonly position: bigint | null
}

/** A generation that was live once. */
interface Kept {
  readonly projection: string
  readonly generation: number
  readonly version: number
}

/** A consumer that does not belong to this version of the code or to this log. */
export interface Stale {
  readonly projection: string
  readonly why: string
  /** It has no read model and is reset instead of rebuilt. */
  readonly mend?: 'reset'
  /** An older version of the code has built it, nobody has put it back in the place of a newer one, and nothing else is wrong. */
  readonly outdated?: boolean
}

/** Which read models do not belong to this version of the code or to this log, and why. */
export const findStale = async (deps: {
  readonly projections: readonly Projection[]
  readonly store: Log
  readonly database: Database
  /** Who was found ahead of a log that was put back, and why. */
  readonly putBack: ReadonlyMap<string, string>
  /** Consumers without a read model, which are reset. */
  readonly resettable: readonly string[]
}): Promise<Stale[]> => {
  const { store, database, putBack, resettable } = deps
  const projections = deps.projections.filter(({ generations }) => generations)
  const rows = await database.query<Row>(
    `select p.name, p.version, c.identity, c.position
     from platform.projections p
     left join (
       select consumer, min(log_identity::text) as identity, max(position) as position
       from platform.checkpoints where ${unsealedOnly} group by consumer
     ) c on c.consumer = p.name`,
  )
  const kept = await database.query<Kept>(
    `select projection, generation, version from platform.generations where state = 'kept' order by replaced_at desc`,
  )
  // Read after the checkpoints, or events that came in between would make one look ahead.
  const [identity, head] = [await store.identity(), await store.head()]
  const resets = [...putBack].flatMap(([projection, why]): Stale[] =>
    resettable.includes(projection) ? [{ projection, why, mend: 'reset' }] : [],
  )
  const models = projections.flatMap(({ name, version }): Stale[] => {
    const ahead = putBack.get(name)
    if (ahead !== undefined) return [{ projection: name, why: ahead }]
    const row = rows.find((each) => each.name === name)
    if (!row) return []
    if (row.version !== version) {
      const isOlder = row.version !== null && row.version < version
      const [last] = kept.filter(({ projection }) => projection === name)
      const ours = kept.find((each) => each.projection === name && each.version === version)
      const swappedBack =
        isOlder && ours ? `, whose generation ${ours.generation} was swapped back: put the former release back` : ''
      const canSwapBack =
        !isOlder && ours && ours === last ? `, which has built generation ${ours.generation}: swap it back` : ''
      return [
        {
          projection: name,
          why: `built by version ${row.version}, code is ${version}${swappedBack}${canSwapBack}`,
          outdated: isOlder && !ours,
        },
      ]
    }
    if (row.identity !== null && row.identity !== identity)
      return [{ projection: name, why: `built from log ${row.identity}, this is ${identity}` }]
    if (row.position !== null && row.position > head)
      return [{ projection: name, why: `its checkpoint is ${row.position}, the log ends at ${head}` }]
    return []
  })
  return [...models, ...resets]
}
