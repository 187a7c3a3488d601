import Table from 'cli-table3'
import { type TellableDifference, tellDifference } from '../../projections/verify-sentence.ts'
import type { Problem } from '../../schemas/errors.ts'
import { StartupError } from '../failures.ts'
import { refusalOf } from './ask.ts'
import { type AskedOptions, answering, askedBy, createPlatformClient, Refused } from './platform-client.ts'

interface Report {
  readonly projection: string
  readonly position: string
  readonly sample: number | null
  readonly events: number
  readonly compared: number
  readonly movedOn: number
  readonly parkedStreams: number
  readonly differenceCount: number
  readonly differences: readonly TellableDifference[]
  readonly repaired: { readonly rows: number; readonly differences: readonly TellableDifference[] } | null
  readonly seconds: number
}

const tableOf = (reports: readonly Report[]): string => {
  const table = new Table({
    head: ['projection', 'position', 'events', 'compared', 'differences', 'parked streams', 'seconds'],
    style: { head: [], border: [] },
  })
  for (const { projection, position, events, compared, movedOn, differenceCount, parkedStreams, seconds } of reports)
    table.push([
      projection,
      position,
      events,
      movedOn > 0 ? `${compared} (${movedOn} moved on)` : compared,
      differenceCount,
      parkedStreams,
      seconds,
    ])
  return table.toString()
}

/** What was refused of one read model, when all were asked for: the others are compared all the same. */
interface Refusal {
  readonly projection: string
  readonly problem: Partial<Problem>
}

const print = (reports: readonly Report[], refusals: readonly Refusal[]): void => {
  console.log(tableOf(reports))
  for (const { projection, differences, differenceCount, repaired } of reports) {
    for (const difference of repaired?.differences ?? []) console.log(`was: ${tellDifference(projection, difference)}`)
    if (repaired && repaired.rows > 0) console.log(`${projection}: ${repaired.rows} rows were repaired`)
    for (const difference of differences) console.log(tellDifference(projection, difference))
    const more = differenceCount - differences.length
    if (more > 0) console.log(`${projection}: and ${more} more`)
  }
  for (const { projection, problem } of refusals) console.log(`${projection} was not compared: ${refusalOf(problem)}`)
  const differ = reports.filter(({ differenceCount }) => differenceCount > 0).map(({ projection }) => projection)
  if (differ.length > 0) console.log(`Not equal to the log: ${differ.join(', ')}.`)
  else console.log(refusals.length > 0 ? 'All else equals the log.' : 'Everything equals the log.')
}

export interface VerifyCommand extends AskedOptions {
  readonly sample?: number
  readonly at?: bigint
  readonly repair?: boolean
}

/** `orderlog verify`: asks the running platform to compare read models with the log. Exit code 1 when one differs or none was compared. */
export const verify = (projection: string | undefined, options: VerifyCommand): Promise<void> =>
  answering(options, async () => {
    const { sample, at, repair, json } = options
    const body = {
      ...(sample === undefined ? {} : { sample }),
      ...(at === undefined ? {} : { at: String(at) }),
      ...(repair ? { repair: { reason: 'orderlog verify --repair', ...askedBy(options) } } : {}),
    }
    const client = createPlatformClient('forever')
    const every = async (): Promise<string[]> => {
      const { projections } = await client.get<{ projections: { name: string }[] }>('/v1/projections')
      return projections.map(({ name }) => name)
    }
    const reports: Report[] = []
    const refusals: Refusal[] = []
    let firstRefusal: Refused | undefined
    for (const name of projection === undefined ? await every() : [projection])
      try {
        reports.push(await client.post<Report>(`/v1/projections/${encodeURIComponent(name)}/verify`, body))
      } catch (error) {
        if (projection !== undefined || !(error instanceof Refused)) throw error
        // Consumers that show nothing are listed, too.
        const { problem } = error
        if (problem.code === 'projection-not-found') continue
        firstRefusal ??= error
        refusals.push({ projection: name, problem })
      }
    if (reports.length === 0)
      throw firstRefusal ?? new StartupError('Nothing was compared: no read model has been built yet.')
    if (refusals.length > 0 || reports.some(({ differenceCount }) => differenceCount > 0)) process.exitCode = 1
    if (json) console.log(JSON.stringify({ reports, ...(refusals.length > 0 ? { refusals } : {}) }))
    else print(reports, refusals)
  })
