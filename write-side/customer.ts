import type { CustomerCommand, CustomerEvent } from '../schemas/customer.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { Decider } from './decider.ts'

export interface Customer {
  readonly forgottenKeyIds: readonly string[]
}

const evolve = (customer: Customer, event: CustomerEvent): Customer => {
  switch (event.type) {
    case 'PersonalDataForgotten':
      return { forgottenKeyIds: [...customer.forgottenKeyIds, ...event.data.keyIds] }
    default:
      event.type satisfies never
      return customer
  }
}

const decide = (command: CustomerCommand, customer: Customer): readonly CustomerEvent[] => {
  switch (command.type) {
    case 'ForgetPersonalData': {
      const { customerId, at: forgottenAt } = command
      const keyIds = command.keyIds.filter((keyId) => !customer.forgottenKeyIds.includes(keyId))
      if (keyIds.length > 0) return [{ type: 'PersonalDataForgotten', data: { customerId, keyIds, forgottenAt } }]
      if (customer.forgottenKeyIds.length === 0) throw new CommandRejected('customer-not-found', { customerId })
      return []
    }
    default:
      command.type satisfies never
      return []
  }
}

/** `customer-<id>`: which keys to the customer's personal data were given up. */
export const customerDecider: Decider<CustomerCommand, Customer, CustomerEvent> = {
  name: 'customer',
  initial: { forgottenKeyIds: [] },
  evolve,
  decide,
}
