import Table from 'cli-table3'
import { readConfig } from '../config.ts'
import { StartupError } from '../failures.ts'

const ask = async (url: string): Promise<unknown> => (await fetch(url, { signal: AbortSignal.timeout(5_000) })).json()

interface Readiness {
  status: string
  checks: Record<string, { ok: boolean; detail?: string }>
}
interface Projections {
  projections: {
    name: string
    parkedEventCount: number
    partitions: { partition: number; position: string; lagEvents: string }[]
    error?: string
  }[]
}

/** `orderlog status`: asks the platform at ORDERLOG_HOST:ORDERLOG_PORT. Exit code 1 when it is not ready. */
export const status = async (options: { json?: boolean }): Promise<void> => {
  const config = readConfig()
  const base = `http://${config.host}:${config.port}`
  let ready: Readiness
  let projections: Projections
  try {
    ready = (await ask(`${base}/health/ready`)) as Readiness
    projections = (await ask(`${base}/v1/projections`)) as Projections
  } catch (error) {
    throw new StartupError(`No Orderlog answers on ${base}: is it running, and on that port (ORDERLOG_PORT)?`, {
      cause: error,
    })
  }
  if (ready.status !== 'ready') process.exitCode = 1
  if (options.json) {
    console.log(JSON.stringify({ ready, ...projections }))
    return
  }
  const checks = new Table({ head: ['check', 'ok', 'detail'], style: { head: [], border: [] } })
  for (const [name, check] of Object.entries(ready.checks))
    checks.push([name, check.ok ? 'yes' : 'NO', check.detail ?? ''])
  const models = new Table({
    head: ['consumer', 'partition', 'position', 'events behind', 'parked'],
    style: { head: [], border: [] },
  })
  for (const { name, parkedEventCount, partitions, error } of projections.projections) {
    if (error) models.push([name, '-', error, '-', parkedEventCount])
    for (const { partition, position, lagEvents } of partitions)
      models.push([name, partition, position, lagEvents, parkedEventCount])
  }
  console.log(`${base} is ${ready.status}\n${checks.toString()}\n${models.toString()}`)
}
