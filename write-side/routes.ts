import type { Clock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { HttpServer } from '../platform/http-server.ts'
import type { IdempotencyKeys } from '../platform/idempotency-keys.ts'
import type { Logger } from '../platform/logging.ts'
import type { PersonalDataVault } from '../platform/personal-data.ts'
import { CustomerParams } from '../schemas/queries.ts'
import type { WriteSide } from './command-handler.ts'
import { forgetCustomer } from './forget.ts'
import { createKeyedRequests } from './keyed-requests.ts'
import { registerOrderRoutes } from './order-routes.ts'
import { registerProductRoutes } from './product-routes.ts'
import { doneReply } from './replies.ts'

export interface WriteApiDependencies {
  readonly commands: WriteSide
  readonly store: Pick<EventStore, 'identity'>
  readonly vault: PersonalDataVault
  /** Closed together with the server. */
  readonly idempotencyKeys: IdempotencyKeys
  readonly clock: Clock
  readonly logger: Logger
}

/** Hangs the command API on a server: everything under /v1 that changes something. */
export const registerWriteApi = (server: HttpServer, deps: WriteApiDependencies): void => {
  const { commands, store, vault, idempotencyKeys, clock, logger } = deps
  const keyed = createKeyedRequests({ keys: idempotencyKeys, logger })
  let identity: string | undefined
  const logIdentity = async (): Promise<string> => {
    identity ??= await store.identity()
    return identity
  }

  server.addHook('onClose', async () => idempotencyKeys.close())

  registerOrderRoutes(server, { commands, vault, clock, keyed, logIdentity })
  registerProductRoutes(server, { commands, clock, keyed, logIdentity })

  server.delete<{ Params: { customerId: string } }>(
    '/v1/customers/:customerId/personal-data',
    { schema: { params: CustomerParams } },
    (request, reply) =>
      keyed(request, reply, async ({ contextFor, options }) => {
        const { customerId } = request.params
        const customers = commands.customers
        const settled = await forgetCustomer({ customers, vault, clock }, customerId, contextFor('operator'), options)
        return doneReply(await logIdentity(), settled, { status: 200, body: { customerId, status: 'forgotten' } })
      }),
  )
}
