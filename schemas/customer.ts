import { Type } from 'typebox'
import { type CommandOf, CustomerId, type EventOf, strict, Timestamp, Uuid } from './primitives.ts'

/** Events of `customer-<id>`: only that the customer was forgotten, and which keys were destroyed for it. */
export const customerEvents = {
  PersonalDataForgotten: strict({
    customerId: CustomerId,
    keyIds: Type.Array(Uuid, { maxItems: 1_000 }),
    forgottenAt: Timestamp,
  }),
}
export type CustomerEvent = EventOf<typeof customerEvents>

export const customerCommands = {
  ForgetPersonalData: strict({ customerId: CustomerId, keyIds: Type.Array(Uuid, { maxItems: 1_000 }) }),
}
export type CustomerCommand = CommandOf<typeof customerCommands>
