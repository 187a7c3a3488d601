import { CommandRejected, type ErrorCode } from '../../schemas/errors.ts'
import type { DomainEvent } from '../../schemas/events.ts'
import type { Decider } from '../../write-side/decider.ts'

/** For tests of deciders: `given(decider, ...events).when(command)` is what happens, or the code of the refusal. */
export const given = <Command, State, Event extends DomainEvent>(
  decider: Decider<Command, State, Event>,
  ...events: readonly Event[]
) => ({
  when: (command: Command): readonly Event[] | ErrorCode => {
    try {
      return decider.decide(command, events.reduce(decider.evolve, decider.initial))
    } catch (error) {
      if (error instanceof CommandRejected) return error.code
      throw error
    }
  },
})
