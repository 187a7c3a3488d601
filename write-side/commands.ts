import type { Command, CommandContext } from '../schemas/commands.ts'
import type { DomainEvent } from '../schemas/events.ts'

/** What came of a command. */
export interface CommandOutcome {
  readonly stream: string
  /** The stream's last revision once the command was done; -1 when there is no stream and nothing had to be done. */
  readonly revision: bigint
  /** Everything that the command brought about is at this position of the log or before. */
  readonly position: bigint
  /** Newly appended; `[]` when there was nothing left to do. */
  readonly events: readonly DomainEvent[]
}

export interface CommandOptions {
  /** Only when the stream is at this revision still; otherwise `precondition-failed`. */
  readonly expectedRevision?: bigint
  /** The command may have been run before under this id: its events are looked for in the stream first. */
  readonly repeated?: boolean
}

/** The door to the write side. */
export interface CommandHandler {
  /**
   * Decides a command against the present state of its aggregate and appends what happens because of it.
   *
   * @throws CommandRejected when it is refused; EngineUnavailable when an engine is away, repeat it then with the same
   * command id and `repeated`
   */
  handle(command: Command, context: CommandContext, options?: CommandOptions): Promise<CommandOutcome>
}

/** The outcome together with the aggregate's state after it. */
export interface Settled<State> extends CommandOutcome {
  readonly state: State
}

/** The door to one kind of aggregate. */
export interface AggregateCommands<Command, State> {
  handle(command: Command, context: CommandContext, options?: CommandOptions): Promise<Settled<State>>
  /** The present state, from the log. */
  load(id: string): Promise<State>
}
