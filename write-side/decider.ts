import type { ErrorCode } from '../schemas/errors.ts'
import type { DomainEvent } from '../schemas/events.ts'

/** How a long-lived state is kept, so that its stream need not be read from the beginning. */
export interface SnapshotForm<State> {
  /** To be raised whenever `evolve` or the state's shape changes: older snapshots are then discarded. */
  readonly shape: number
  /** Roughly how many entries the state has: a large one is not written anew for every few events. */
  weight?(state: State): number
  /** A JSON value. */
  pack(state: State): unknown
  unpack(packed: unknown): State
}

/** An aggregate: what it is, what can be asked of it, what came of it. Pure: no clock, no ids, no I/O. */
export interface Decider<Command, State, Event extends DomainEvent> {
  readonly name: string
  readonly initial: State
  readonly evolve: (state: State, event: Event) => State
  /**
   * What happens because of a command; `[]` when there is nothing left to do.
   *
   * @throws CommandRejected when the command is refused
   */
  readonly decide: (command: Command, state: State) => readonly Event[]
  /** Whether the command normally begins the stream, so that it is tried on an empty one before anything is read. */
  readonly opens?: (command: Command) => boolean
  /** Refusals that may only mean that the state has forgotten the command's first run; the stream itself is then asked. */
  readonly forgetful?: readonly ErrorCode[]
  /** Only for aggregates whose streams grow without bound. */
  readonly snapshot?: SnapshotForm<State>
}
