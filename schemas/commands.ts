import { type CatalogCommand, catalogCommands } from './catalog.ts'
import { type CustomerCommand, customerCommands } from './customer.ts'
import { type InventoryCommand, inventoryCommands } from './inventory.ts'
import { type OrderCommand, orderCommands } from './order.ts'
import { type PaymentCommand, paymentCommands } from './payment.ts'

/** Everything that can be asked of an aggregate. */
export type Command = OrderCommand | PaymentCommand | InventoryCommand | CatalogCommand | CustomerCommand
export type CommandType = Command['type']

export const commandSchemas = {
  ...orderCommands,
  ...paymentCommands,
  ...inventoryCommands,
  ...catalogCommands,
  ...customerCommands,
}

/** Where a command comes from; recorded with every event it leads to. */
export interface CommandContext {
  /** uuid; the same command sent again carries the same id. */
  readonly commandId: string
  readonly correlationId: string
  readonly causationId: string
  readonly actor: string
  readonly traceparent?: string
}
