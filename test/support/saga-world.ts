import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { v5 } from 'uuid'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/database.ts'
import { EngineUnavailable } from '../../platform/failures.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { createFulfilmentProcessManager, type FulfilmentProcessManager } from '../../sagas/process-manager.ts'
import type { ProcessManagerConfig } from '../../sagas/process-manager-config.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import { CommandRejected } from '../../schemas/errors.ts'
import type { OrderLine } from '../../schemas/primitives.ts'
import { createCommandHandler } from '../../write-side/command-handler.ts'
import { createMemoryEventStore } from './memory-event-store.ts'
import { createMemoryPaymentGateway } from './memory-payment-gateway.ts'
import { createMemoryCheckpoints, createMemorySagaTables } from './memory-saga-tables.ts'

const namespace = '9f1d2a54-31c6-4a55-9c2e-0a4c5d1f2b60'
const idOf = (name: string) => v5(name, namespace)

/**
 * What happens at the n-th crossing from now between a process and the outside world: it dies before or after the call
 * had its effect, or the call fails so: because the store is away, or for no reason that anybody was prepared for.
 */
export interface Fault {
  readonly crossings: number
  readonly kind: 'die-before' | 'die-after' | 'fail-before' | 'fail-after' | 'break-before' | 'break-after'
}

/** A process with a process manager in it; it may die at any crossing. */
export interface Life {
  readonly manager: FulfilmentProcessManager
  readonly dead: boolean
  kill(): void
}

const neverAgain = new Promise<never>(() => undefined)

/**
 * A shop without any engine: memory in the place of log, tables and payment provider, and the real write side, feed and
 * process manager. Time stands still unless it is turned.
 */
export const createSagaWorld = () => {
  const store = createMemoryEventStore()
  const gateway = createMemoryPaymentGateway()
  const tables = createMemorySagaTables()
  const checkpoints = createMemoryCheckpoints()
  const metrics = createMetrics()
  const lives: Life[] = []
  const blocked = new Map<string, Error>()
  let time = Date.parse('2026-11-21T09:30:00.000Z')
  let fault: { crossings: number; readonly kind: Fault['kind'] } | undefined
  let commands = 0
  const clock: Clock = { now: () => new Date(time) }
  const snapshots = { load: async () => undefined, save: async () => undefined }
  const handlerOf = (own: Pick<Parameters<typeof createCommandHandler>[0], 'store' | 'gateway'>) =>
    createCommandHandler({ ...own, snapshots, clock, logger: silentLogger, metrics })
  const shop = handlerOf({ store, gateway })

  const context = () => {
    commands += 1
    const commandId = idOf(`command ${commands}`)
    return { commandId, correlationId: commandId, causationId: commandId, actor: 'customer:test' }
  }
  const at = () => clock.now().toISOString()
  /** False when it was refused. */
  const ask = (command: Parameters<typeof shop.handle>[0]): Promise<boolean> =>
    shop.handle(command, context()).then(
      () => true,
      (error: unknown) => {
        if (error instanceof CommandRejected) return false
        throw error
      },
    )

  const start = (config: Partial<ProcessManagerConfig> = {}): Life => {
    const ended = new AbortController()
    const life = { dead: false }
    const kill = () => {
      life.dead = true
      ended.abort()
    }
    const crossing = async (when: 'before' | 'after'): Promise<void> => {
      if (life.dead) return neverAgain
      if (!fault) return
      const due = fault.kind.endsWith(when)
      if (due) fault.crossings -= 1
      if (!due || fault.crossings > 0) return
      const [what] = fault.kind.split('-')
      fault = undefined
      if (what === 'fail') throw new EngineUnavailable('memory', new Error('a fault of the test'))
      if (what === 'break') throw new Error('a fault of the test')
      kill()
      return neverAgain
    }
    const mortal = <Target extends object>(target: Target): Target =>
      new Proxy(target, {
        get: (object, name) => {
          const member = Reflect.get(object, name)
          if (typeof member !== 'function' || name === 'subscribe') return member
          return async (...args: unknown[]) => {
            const failure = name === 'append' && blocked.get(String(args[0]))
            if (failure) throw failure
            await crossing('before')
            const result = await Reflect.apply(member, object, args)
            await crossing('after')
            return result
          }
        },
      })
    const own = { store: mortal(store), gateway: mortal(gateway) }
    const feed = createLogEventFeed({
      store,
      leases: {
        acquire: async () => ({ lost: ended.signal, release: async () => undefined }),
        close: async () => undefined,
      },
      decode: decodeEvent,
      logger: silentLogger,
    })
    const manager = createFulfilmentProcessManager({
      ...{ feed, store: own.store, commands: handlerOf(own), clock, logger: silentLogger, metrics },
      database: {} as Database,
      tables: mortal(tables),
      checkpoints: mortal(checkpoints),
      config: {
        ...{ reservationDeadlineMs: 60_000, authorisationDeadlineMs: 120_000, retryBaseMs: 1_000, maxAttempts: 5 },
        ...{ checkpointEveryMs: 1, drainMs: 1, refundCheckMs: 10_000, ...config },
      },
    })
    // Whatever ends it unexpectedly ends its process.
    manager.run(ended.signal).catch(kill)
    const begun: Life = {
      manager,
      kill,
      get dead() {
        return life.dead
      },
    }
    lives.push(begun)
    return begun
  }

  const living = () => lives.filter((life) => !life.dead)

  return {
    store,
    gateway,
    tables,
    checkpoints,
    /** Streams that no process can append to, and why. */
    blocked,
    start,
    living,
    shop,
    setFault: (next: Fault | undefined) => {
      fault = next && { ...next }
    },
    turnClock: (ms: number) => {
      time += ms
    },
    fireDue: async () => {
      for (const { manager } of living()) void manager.fireDue().catch(() => undefined)
    },
    /** Longer than the pause between two checkpoints. */
    checkpointed: () => sleep(3),
    turns: async (count: number) => {
      for (let index = 0; index < count; index += 1) await turn()
    },
    /** Until the living have acted upon the whole log and nothing is under way; false when that takes too long. */
    settle: async (): Promise<boolean> => {
      for (let index = 0; index < 10_000; index += 1) {
        const head = await store.head()
        if (living().every(({ manager }) => manager.status().busy === 0 && manager.status().position === head))
          return true
        // Some wait for a store that failed them, on the clock of the machine.
        await (index < 1_000 ? turn() : sleep(1))
      }
      return false
    },
    receive: (sku: string, quantity: number) => ask({ type: 'ReceiveStock', at: at(), sku, quantity }),
    place: async (name: string, paymentToken: string, skus: readonly { sku: string; quantity: number }[]) => {
      const orderId = idOf(`order ${name}`)
      const lines = skus.map(
        ({ sku, quantity }): OrderLine => ({ sku, name: sku, quantity, unitPrice: { amount: 500, currency: 'EUR' } }),
      )
      const personal = { keyId: orderId, iv: '', tag: '', ciphertext: '' }
      await ask({ type: 'PlaceOrder', at: at(), orderId, customerId: 'customer-1', lines, personal, paymentToken })
      return orderId
    },
    cancel: (orderId: string) => ask({ type: 'CancelOrder', at: at(), orderId, reason: 'customer_request' }),
    ship: (orderId: string) => ask({ type: 'ShipOrder', at: at(), orderId, carrier: 'DHL', trackingId: 'T1' }),
    refund: (orderId: string, amount: number) =>
      ask({
        ...{ type: 'RefundPayment', at: at(), orderId, refundId: idOf(`refund ${orderId}`), reason: 'broken' },
        amount: { amount, currency: 'EUR' },
      }),
  }
}

export type SagaWorld = ReturnType<typeof createSagaWorld>
