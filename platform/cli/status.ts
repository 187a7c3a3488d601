import Table from 'cli-table3'
import { readConfig } from '../config.ts'
import { StartupError } from '../failures.ts'

/** The platform itself gives an engine that hangs up to 5 s, one after the other. */
const patienceMs = 30_000

const ask = async (url: string): Promise<{ readonly ok: boolean; readonly body: unknown }> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs) })
  return { ok: response.ok, body: await response.json() }
}

interface Readiness {
  status: string
  checks: Record<string, { ok: boolean; detail?: string }>
}
interface Projections {
  projections: {
    name: string
    parkedEventCount: number
    partitions: { partition: number; position: string; lagEvents: string | null }[]
    error?: string
  }[]
}
interface Problem {
  title: string
  detail?: string
}

const tableOf = ({ projections }: Projections): string => {
  const models = new Table({
    head: ['consumer', 'partition', 'position', 'events behind', 'parked'],
    style: { head: [], border: [] },
  })
  for (const { name, parkedEventCount, partitions, error } of projections) {
    if (error) models.push([name, '-', error, '-', parkedEventCount])
    for (const { partition, position, lagEvents } of partitions)
      models.push([name, partition, position, lagEvents ?? 'unknown', parkedEventCount])
  }
  return models.toString()
}

/** `orderlog status`: asks the platform at ORDERLOG_HOST:ORDERLOG_PORT. Exit code 1 when it is not ready. */
export const status = async (options: { json?: boolean }): Promise<void> => {
  const config = readConfig()
  const base = `http://${config.host}:${config.port}`
  let ready: Readiness
  let models: Awaited<ReturnType<typeof ask>>
  try {
    ready = (await ask(`${base}/health/ready`)).body as Readiness
    models = await ask(`${base}/v1/projections`)
  } catch (error) {
    throw new StartupError(`No Orderlog answers on ${base}: is it running, and on that port (ORDERLOG_PORT)?`, {
      cause: error,
    })
  }
  if (ready.status !== 'ready') process.exitCode = 1
  if (options.json) {
    console.log(JSON.stringify({ ready, ...(models.ok ? (models.body as Projections) : { problem: models.body }) }))
    return
  }
  const checks = new Table({ head: ['check', 'ok', 'detail'], style: { head: [], border: [] } })
  for (const [name, check] of Object.entries(ready.checks))
    checks.push([name, check.ok ? 'yes' : 'NO', check.detail ?? ''])
  const { title, detail } = models.body as Problem
  const told = models.ok ? tableOf(models.body as Projections) : `Where the consumers stand: ${detail ?? title}`
  console.log(`${base} is ${ready.status}\n${checks.toString()}\n${told}`)
}
