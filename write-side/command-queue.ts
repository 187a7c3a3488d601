import { decorrelatedJitterGenerator, ExponentialBackoff, handleWhenResult, retry } from 'cockatiel'
import type { CommandContext } from '../schemas/commands.ts'
import type { NewEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { DomainEvent } from '../schemas/events.ts'
import type { AggregateLog, Known } from './aggregate-log.ts'
import type { CommandOptions, Settled } from './commands.ts'
import type { Decider } from './decider.ts'
import { eventIdOf, newEvent } from './new-events.ts'

/** A command in the queue of its stream: waiting -> decided (again and again, if need be) -> answered. */
interface Waiting<Command, State> {
  readonly command: Command
  readonly context: CommandContext
  readonly options: CommandOptions
  /** When it came, on the queue's own count: what was read later is fresh enough to refuse it by. */
  readonly arrived: number
  readonly resolve: (settled: Settled<State>) => void
  readonly reject: (error: unknown) => void
}

type Verdict<State> =
  | { readonly events: readonly DomainEvent[]; readonly revision: bigint; readonly state: State }
  | { readonly refused: unknown }

/** A state and the queue's count at the moment when it was read. */
interface View<State> {
  readonly known: Known<State>
  readonly asOf: number
}

const maxAttempts = 10
const maxBatch = 256

/**
 * One queue per stream: while one append travels, later commands wait, then are decided together in memory and appended
 * at once. A refused command leaves no trace in the batch. What is in memory only saves reads: the expected revision
 * guards every append, and nothing is refused before the stream was read after the command came.
 */
export const createCommandQueue = <Command, State, Event extends DomainEvent>(
  decider: Decider<Command, State, Event>,
  log: AggregateLog<State>,
  onConflict: () => void,
): ((
  stream: string,
  command: Command,
  context: CommandContext,
  options: CommandOptions,
) => Promise<Settled<State>>) => {
  const queues = new Map<string, Waiting<Command, State>[]>()
  let count = 0
  const persistently = retry(
    handleWhenResult((result) => result === 'conflict'),
    {
      maxAttempts,
      backoff: new ExponentialBackoff({ initialDelay: 2, maxDelay: 250, generator: decorrelatedJitterGenerator }),
    },
  )

  const decide = (batch: readonly Waiting<Command, State>[], known: Known<State>, done: ReadonlySet<string>) => {
    let { state, revision } = known
    const events: NewEvent[] = []
    const seen = new Set(done)
    const verdicts = batch.map(({ command, context, options }): Verdict<State> => {
      const { expectedRevision } = options
      try {
        if (seen.has(context.commandId)) return { events: [], revision, state }
        if (expectedRevision !== undefined && expectedRevision !== revision)
          throw new CommandRejected('precondition-failed', { expected: `${expectedRevision}`, actual: `${revision}` })
        const decided = decider.decide(command, state)
        events.push(...decided.map((event, index) => newEvent(eventIdOf(context.commandId, index), event, context)))
        state = decided.reduce(decider.evolve, state)
        revision += BigInt(decided.length)
        if (decided.length > 0) seen.add(context.commandId)
        return { events: decided, revision, state }
      } catch (refused) {
        return { refused }
      }
    })
    return { verdicts, events, state }
  }

  /** Those whose events are in the stream already are done. */
  const recognised = async (stream: string, batch: readonly Waiting<Command, State>[]): Promise<Set<string>> => {
    const repeated = batch.filter(({ options }) => options.repeated)
    if (repeated.length === 0) return new Set()
    const found = await Promise.all(repeated.map(({ context }) => log.lastEventOf(stream, context.commandId)))
    return new Set(found.flatMap((event) => (event ? [event.metadata.commandId] : [])))
  }

  const answer = async (
    stream: string,
    batch: readonly Waiting<Command, State>[],
    verdicts: readonly Verdict<State>[],
    { position, revision, state }: Known<State>,
  ): Promise<void> => {
    for (const [index, { context, resolve, reject }] of batch.entries()) {
      const verdict = verdicts[index]
      if (verdict && 'events' in verdict) resolve({ stream, position, ...verdict })
      else {
        const refused = verdict?.refused
        const forgotten =
          refused instanceof CommandRejected &&
          decider.forgetful?.includes(refused.code) &&
          (await log.lastEventOf(stream, context.commandId))
        if (forgotten) resolve({ stream, position, events: [], revision, state })
        else reject(refused)
      }
    }
  }

  const serve = async (stream: string, queue: Waiting<Command, State>[]): Promise<void> => {
    const [first] = queue
    const assumed = log.remembered(stream) ?? (first && decider.opens?.(first.command) ? log.nothing : undefined)
    let view: View<State> = assumed ? { known: assumed, asOf: -1 } : { asOf: count, known: await log.load(stream) }
    const batch = queue.splice(0, maxBatch)
    try {
      const done = await recognised(stream, batch)
      // Such an event may be newer than the view: what is answered has to include it.
      if (done.size > 0) view = { ...view, asOf: -1 }
      const refresh = async () => {
        const asOf = count
        const { known, commandIds } = await log.refresh(stream, view.known)
        for (const commandId of commandIds) done.add(commandId)
        view = { known, asOf }
      }
      const settled = await persistently.execute(async ({ attempt }) => {
        if (attempt > 0) {
          onConflict()
          await refresh()
        }
        let decided = decide(batch, view.known, done)
        if (decided.events.length === 0 && batch.some(({ arrived }) => arrived > view.asOf)) {
          await refresh()
          decided = decide(batch, view.known, done)
        }
        const { verdicts, events, state } = decided
        const known = events.length === 0 ? view.known : await log.append(stream, view.known, events, state)
        return known === 'conflict' ? 'conflict' : { verdicts, known }
      })
      if (settled === 'conflict') throw new CommandRejected('concurrent-update', { stream })
      await answer(stream, batch, settled.verdicts, settled.known)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  const drain = async (stream: string, queue: Waiting<Command, State>[]): Promise<void> => {
    while (queue.length > 0) {
      try {
        await serve(stream, queue)
      } catch (error) {
        for (const { reject } of queue.splice(0)) reject(error)
      }
    }
    queues.delete(stream)
  }

  return (stream, command, context, options) =>
    new Promise((resolve, reject) => {
      count += 1
      const waiting = { command, context, options, arrived: count, resolve, reject }
      const queue = queues.get(stream)
      if (queue) queue.push(waiting)
      else {
        const opened = [waiting]
        queues.set(stream, opened)
        void drain(stream, opened)
      }
    })
}
