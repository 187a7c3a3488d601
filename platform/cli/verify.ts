import { request } from 'node:http'
import { userInfo } from 'node:os'
import Table from 'cli-table3'
import { type TellableDifference, tellDifference } from '../../projections/verify-sentence.ts'
import { readConfig } from '../config.ts'
import { StartupError } from '../failures.ts'

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

interface Problem {
  readonly code?: string
  readonly title?: string
  readonly detail?: string
}

type Answer<Body> = { readonly status: number; readonly body: Body & Problem }

/** Asks without a limit of time: a large log takes as long as it takes. */
const ask = <Body>(base: string, method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer<Body>> =>
  new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' }
    const asking = request(new URL(path, base), { method, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) })
        } catch (error) {
          reject(error)
        }
      })
    })
    asking.on('error', reject)
    asking.end(body === undefined ? undefined : JSON.stringify(body))
  })

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

const print = (reports: readonly Report[]): void => {
  console.log(tableOf(reports))
  for (const { projection, differences, differenceCount, repaired } of reports) {
    for (const difference of repaired?.differences ?? []) console.log(`was: ${tellDifference(projection, difference)}`)
    if (repaired && repaired.rows > 0) console.log(`${projection}: ${repaired.rows} rows were repaired`)
    for (const difference of differences) console.log(tellDifference(projection, difference))
    const more = differenceCount - differences.length
    if (more > 0) console.log(`${projection}: and ${more} more`)
  }
  const differ = reports.filter(({ differenceCount }) => differenceCount > 0).map(({ projection }) => projection)
  console.log(differ.length === 0 ? 'Everything equals the log.' : `Not equal to the log: ${differ.join(', ')}.`)
}

export interface VerifyCommand {
  readonly sample?: number
  readonly at?: bigint
  readonly repair?: boolean
  readonly operator?: string
  readonly reason?: string
  readonly json?: boolean
}

/** `orderlog verify`: asks the running platform to compare read models with the log. Exit code 1 when one differs. */
export const verify = async (projection: string | undefined, options: VerifyCommand): Promise<void> => {
  const config = readConfig()
  const base = `http://${config.host}:${config.port}`
  const { sample, at, repair, operator = userInfo().username, reason = 'orderlog verify --repair' } = options
  const body = {
    ...(sample === undefined ? {} : { sample }),
    ...(at === undefined ? {} : { at: String(at) }),
    ...(repair ? { repair: { operator, reason } } : {}),
  }
  const reports: Report[] = []
  try {
    const names =
      projection === undefined
        ? (await ask<{ projections: { name: string }[] }>(base, 'GET', '/v1/projections')).body.projections.map(
            ({ name }) => name,
          )
        : [projection]
    for (const name of names) {
      const { status, body: answer } = await ask<Report>(base, 'POST', `/v1/projections/${name}/verify`, body)
      if (status === 200) reports.push(answer)
      // Consumers that show nothing are listed, too.
      else if (projection !== undefined || answer.code !== 'projection-not-found')
        throw new StartupError(`${name} was not verified: ${answer.detail ?? answer.title ?? status}`)
    }
  } catch (error) {
    if (error instanceof StartupError) throw error
    throw new StartupError(`No Orderlog answers on ${base}: is it running, and on that port (ORDERLOG_PORT)?`, {
      cause: error,
    })
  }
  if (reports.some(({ differenceCount }) => differenceCount > 0)) process.exitCode = 1
  if (options.json) console.log(JSON.stringify({ reports }))
  else print(reports)
}
