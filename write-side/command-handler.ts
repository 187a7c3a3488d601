import type { Clock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import type { PaymentGateway } from '../platform/payment-gateway.ts'
import type { SnapshotStore } from '../platform/snapshots.ts'
import type { CatalogCommand } from '../schemas/catalog.ts'
import type { CommandType } from '../schemas/commands.ts'
import type { CustomerCommand } from '../schemas/customer.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { DomainEvent } from '../schemas/events.ts'
import type { InventoryCommand } from '../schemas/inventory.ts'
import type { OrderCommand } from '../schemas/order.ts'
import type { PaymentCommand } from '../schemas/payment.ts'
import { customerStream, inventoryStream, orderStream, paymentStream, productStream } from '../schemas/streams.ts'
import { createAggregateLog } from './aggregate-log.ts'
import { catalogDecider, type Product } from './catalog.ts'
import { createCommandQueue } from './command-queue.ts'
import type { AggregateCommands, CommandHandler, CommandOutcome } from './commands.ts'
import { type Customer, customerDecider } from './customer.ts'
import type { Decider } from './decider.ts'
import { type Inventory, inventoryDecider } from './inventory.ts'
import { type Order, orderDecider } from './order.ts'
import { type Payment, paymentDecider } from './payment.ts'
import { createPaymentProcedure } from './payment-procedure.ts'
import { createSnapshotWriter } from './snapshot-writer.ts'

export interface CommandHandlerDependencies {
  readonly store: EventStore
  readonly snapshots: SnapshotStore
  readonly gateway: PaymentGateway
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** Streams of each kind whose state is kept in memory; default 10,000. `off` reads the stream for every command. */
  readonly cache?: number | 'off'
  /** Commands under way in this process at most, before more are refused as `overloaded`; default 10,000. */
  readonly maxUnderWay?: number
}

/** The handler, and the same by aggregate for those who also want its state. */
export interface WriteSide extends CommandHandler {
  readonly orders: AggregateCommands<OrderCommand, Order>
  readonly payments: AggregateCommands<PaymentCommand, Payment>
  readonly inventories: AggregateCommands<InventoryCommand, Inventory>
  readonly products: AggregateCommands<CatalogCommand, Product>
  readonly customers: AggregateCommands<CustomerCommand, Customer>
  /** Resolves once the snapshots that are due have been written. */
  settled(): Promise<void>
}

const outcomeOf = (error: unknown): string => {
  if (error instanceof CommandRejected || error instanceof UndecodableEvent) return error.code
  return error instanceof EngineUnavailable ? 'unavailable' : 'failed'
}

/** Makes the write side: every command of every aggregate goes through here. */
export const createCommandHandler = (deps: CommandHandlerDependencies): WriteSide => {
  const { store, snapshots, metrics } = deps
  const snapshotWriter = createSnapshotWriter(deps)
  const cachedStreams = deps.cache === 'off' ? 0 : (deps.cache ?? 10_000)
  const maxUnderWay = deps.maxUnderWay ?? 10_000
  let underWay = 0

  const measured = async <Outcome extends CommandOutcome>(type: CommandType, work: () => Promise<Outcome>) => {
    if (underWay >= maxUnderWay) throw new CommandRejected('overloaded', { commandsUnderWay: underWay })
    underWay += 1
    const begun = performance.now()
    const observe = (outcome: string) =>
      metrics.commandSeconds.observe({ type, outcome }, (performance.now() - begun) / 1000)
    try {
      const outcome = await work()
      observe(outcome.events.length > 0 ? 'done' : 'nothing-to-do')
      return outcome
    } catch (error) {
      observe(outcomeOf(error))
      throw error
    } finally {
      underWay -= 1
    }
  }

  const open = <Command extends { readonly type: CommandType }, State, Event extends DomainEvent>(
    decider: Decider<Command, State, Event>,
    streamOf: (id: string) => string,
    idOf: (command: Command) => string,
  ) => {
    const log = createAggregateLog(decider, { store, snapshots, snapshotWriter, cachedStreams })
    const onConflict = () => metrics.commandConflicts.inc({ aggregate: decider.name })
    const enqueue = createCommandQueue(decider, log, onConflict)
    const commands: AggregateCommands<Command, State> = {
      handle: (command, context, options = {}) =>
        measured(command.type, () => enqueue(streamOf(idOf(command)), command, context, options)),
      load: async (id) => (await log.load(streamOf(id))).state,
    }
    return { commands, log, onConflict }
  }

  const orders = open(orderDecider, orderStream, (command) => command.orderId).commands
  const inventories = open(inventoryDecider, inventoryStream, (command) => command.sku).commands
  const products = open(catalogDecider, productStream, (command) => command.sku).commands
  const customers = open(customerDecider, customerStream, (command) => command.customerId).commands
  const charging = open(paymentDecider, paymentStream, (command) => command.orderId)
  const pay = createPaymentProcedure({ ...deps, log: charging.log, onConflict: charging.onConflict })
  const payments: typeof charging.commands = {
    ...charging.commands,
    handle: (command, context, options = {}) =>
      measured(command.type, () => pay(paymentStream(command.orderId), command, context, options)),
  }

  return {
    orders,
    payments,
    inventories,
    products,
    customers,
    settled: snapshotWriter.settled,
    handle: (command, context, options): Promise<CommandOutcome> => {
      switch (command.type) {
        case 'PlaceOrder':
        case 'ConfirmOrder':
        case 'CancelOrder':
        case 'ShipOrder':
        case 'DeliverOrder':
          return orders.handle(command, context, options)
        case 'AuthorisePayment':
        case 'CapturePayment':
        case 'VoidPayment':
        case 'RefundPayment':
          return payments.handle(command, context, options)
        case 'ReceiveStock':
        case 'AdjustStock':
        case 'ReserveStock':
        case 'ReleaseStock':
        case 'CommitStock':
          return inventories.handle(command, context, options)
        case 'RegisterProduct':
        case 'RepriceProduct':
          return products.handle(command, context, options)
        case 'ForgetPersonalData':
          return customers.handle(command, context, options)
        default:
          return command satisfies never
      }
    },
  }
}
