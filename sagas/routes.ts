import type { Static } from 'typebox'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { HttpServer } from '../platform/http-server.ts'
import type { Logger } from '../platform/logging.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { FulfilmentEvent } from '../schemas/fulfilment.ts'
import { OrderIdParams } from '../schemas/queries.ts'
import { OperatorRequest } from '../schemas/requests.ts'
import { createInstances } from './instances.ts'
import { createSagaTables } from './tables.ts'

export interface SagaApiDependencies {
  readonly store: EventStore
  readonly database: Database
  readonly clock: Clock
  readonly logger: Logger
}

export interface Intervention {
  readonly orderId: string
  /** The steps that were parked. */
  readonly steps: readonly string[]
  /** Of the fulfilment's stream, after it. */
  readonly revision: string
}

const maxConflicts = 5

/**
 * An operator's decision about a parked fulfilment, put on its record; the process manager takes it from there.
 *
 * @throws CommandRejected saga-not-found, saga-not-parked
 */
export const createOperatorDesk = (deps: SagaApiDependencies) => {
  const { store, database, clock, logger } = deps
  // Nothing is kept: the process manager may be in another process, so the log alone knows.
  const instances = createInstances({ store, capacity: 0 })
  const tables = createSagaTables(database)

  /** Set aside without a record, because it could not be read or led on: all one can do is let it be tried again. */
  const isBroken = async (orderId: string): Promise<boolean> => {
    const rows = await database.query("select from saga.instances where order_id = $1 and status = 'parked'", [orderId])
    return rows.length > 0
  }

  return async (
    type: 'FulfilmentRetried' | 'StepSkipped',
    orderId: string,
    request: Static<typeof OperatorRequest>,
    causationId: string,
  ): Promise<Intervention> => {
    for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
      const broken = type === 'FulfilmentRetried' && (await isBroken(orderId))
      const instance = await instances.get(orderId).catch((error: unknown) => {
        if (!broken) throw error
        return undefined
      })
      const { state, origin } = instance ?? {}
      const steps = [...(state?.parked.keys() ?? [])]
      if (steps.length === 0 && broken) {
        await tables.setTimer(orderId, 'retry', clock.now())
        return { orderId, steps, revision: `${instance?.revision ?? 'none'}` }
      }
      if (!instance || !state || !origin) throw new CommandRejected('saga-not-found', { orderId })
      if (steps.length === 0) throw new CommandRejected('saga-not-parked', { orderId })
      const at = clock.now().toISOString()
      const events = steps.map((step) => {
        const event: FulfilmentEvent = { type, data: { orderId, step, ...request, at } }
        return { event, causationId }
      })
      const appended = await instances.append(instance, events, origin, `operator:${request.operator}`)
      if (appended === 'conflict') continue
      logger.info({ orderId, steps, type, ...request }, 'an operator intervened in a fulfilment')
      return { orderId, steps, revision: `${appended.revision}` }
    }
    throw new CommandRejected('concurrent-update', { orderId })
  }
}

/** `POST /v1/sagas/:orderId/retry` and `/skip`: 202 with the steps that were parked. */
export const registerSagaApi = (server: HttpServer, deps: SagaApiDependencies): void => {
  const intervene = createOperatorDesk(deps)
  const decisions = { retry: 'FulfilmentRetried', skip: 'StepSkipped' } as const
  for (const [verb, type] of Object.entries(decisions))
    server.post<{ Params: { orderId: string }; Body: Static<typeof OperatorRequest> }>(
      `/v1/sagas/:orderId/${verb}`,
      { schema: { params: OrderIdParams, body: OperatorRequest } },
      async (request, reply) => {
        const { orderId } = request.params
        const done = await intervene(type, orderId.toLowerCase(), request.body, request.correlationId)
        return reply.code(202).header('Location', `/v1/sagas/${done.orderId}`).send(done)
      },
    )
}
