import type { HttpServer } from './http-server.ts'
import type { Metrics } from './metrics.ts'

/** What one part of this process says of itself right now. */
export interface Health {
  readonly ok: boolean
  /** One sentence when it is not ok, or when there is more to say; never a secret. */
  readonly detail?: string
}

export type HealthCheck = () => Promise<Health> | Health

const checkTimeoutMs = 1_000

/** A check that hangs is a check that failed: readiness always answers. */
const bounded = async (check: HealthCheck): Promise<Health> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Health>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, detail: `no answer within ${checkTimeoutMs} ms` }), checkTimeoutMs)
  })
  try {
    return await Promise.race([Promise.resolve().then(check), late])
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
  }
}

/**
 * `/health/live` (the process answers), `/health/ready` (each part can do its work; 503 naming those that cannot) and
 * `/metrics` (Prometheus text).
 */
export const registerHealth = (
  server: HttpServer,
  { checks, metrics }: { checks: Readonly<Record<string, HealthCheck>>; metrics: Metrics },
): void => {
  server.get('/health/live', async () => ({ status: 'alive' }))
  server.get('/health/ready', async (_request, reply) => {
    const results = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await bounded(check)] as const),
    )
    const ready = results.every(([, health]) => health.ok)
    return reply
      .code(ready ? 200 : 503)
      .header('Cache-Control', 'no-store')
      .send({ status: ready ? 'ready' : 'not-ready', checks: Object.fromEntries(results) })
  })
  server.get('/metrics', async (_request, reply) =>
    reply.header('Content-Type', metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
}
