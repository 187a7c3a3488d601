import type { Clock } from '../platform/clock.ts'
import type { PersonalDataVault } from '../platform/personal-data.ts'
import type { CommandContext } from '../schemas/commands.ts'
import type { CustomerCommand } from '../schemas/customer.ts'
import type { AggregateCommands, CommandOptions, Settled } from './commands.ts'
import type { Customer } from './customer.ts'

/**
 * Forgets a customer: records which keys are given up, then destroys them. Repeating it is harmless. When the process
 * dies in between, the event is there, and whoever consumes it destroys the keys it names.
 *
 * @throws CommandRejected `customer-not-found` when nothing was ever known of the customer
 */
export const forgetCustomer = async (
  deps: {
    readonly customers: AggregateCommands<CustomerCommand, Customer>
    readonly vault: PersonalDataVault
    readonly clock: Clock
  },
  customerId: string,
  context: CommandContext,
  options: CommandOptions = {},
): Promise<Settled<Customer>> => {
  const keyIds = await deps.vault.keysOf(customerId)
  const at = deps.clock.now().toISOString()
  const settled = await deps.customers.handle({ type: 'ForgetPersonalData', at, customerId, keyIds }, context, options)
  await deps.vault.destroy(keyIds)
  return settled
}
