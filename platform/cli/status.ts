import Table from 'cli-table3'
import type { ProjectionSummary } from '../../schemas/views.ts'
import { askPlatform, baseUrl } from './ask.ts'
import { notices } from './projections.ts'

interface Readiness {
  status: string
  checks: Record<string, { ok: boolean; detail?: string }>
}
interface Projections {
  projections: ProjectionSummary[]
}
interface Problem {
  title: string
  detail?: string
}

const tableOf = ({ projections }: Projections): string => {
  const models = new Table({
    head: ['consumer', 'state', 'partition', 'position', 'events behind', 'parked', 'gaps'],
    style: { head: [], border: [] },
  })
  for (const { name, state: told, parkedEventCount: parked, gapCount: gaps, partitions, error } of projections) {
    const state = told ?? ''
    if (partitions.length === 0 && error) models.push([name, state, '-', error, '-', parked, gaps])
    for (const { partition, position, lagEvents } of partitions)
      models.push([name, state, partition, position, lagEvents ?? 'unknown', parked, gaps])
  }
  return [models.toString(), ...notices(projections)].join('\n')
}

/** `orderlog status`: asks the platform at ORDERLOG_HOST:ORDERLOG_PORT. Exit code 1 when it is not ready. */
export const status = async (options: { json?: boolean }): Promise<void> => {
  const base = baseUrl()
  const ready = (await askPlatform(base, '/health/ready')).body as Readiness
  const models = await askPlatform(base, '/v1/projections')
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
