import { validateFact } from '../schemas/codec.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import type { StoredEvent, StoredFact } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { newestNameOf } from '../schemas/stored-names.ts'
import { idOf } from '../schemas/streams.ts'
import { withheldData } from '../schemas/withheld.ts'

/** What an operator wants to be applied in the place of an event. */
export interface ReplacementRequest {
  /** A stored name of the same event, in any version; default the newest. */
  readonly type?: string | undefined
  readonly data: Readonly<Record<string, unknown>>
}

const invalid = (detail: string, more: Readonly<Record<string, unknown>> = {}): CommandRejected =>
  new CommandRejected('invalid-replacement', { detail, ...more })

const problemsWith = (fact: StoredFact, place: string) => {
  try {
    const validation = validateFact(fact, () => place)
    return validation.valid ? [] : validation.problems
  } catch (error) {
    if (error instanceof UndecodableEvent) throw invalid(error.message)
    throw error
  }
}

/**
 * The replacement of an event. What is withheld from readers stays as it was recorded, and so does what names the stream:
 * another order's event would write another order's row.
 *
 * @throws CommandRejected `event-not-editable` when this code does not know the event, `invalid-replacement`
 */
export const replacementOf = (original: StoredEvent, { type, data }: ReplacementRequest): StoredFact => {
  const newest = newestNameOf(original.type)
  if (newest === undefined) throw new CommandRejected('event-not-editable', { storedName: original.type })
  const name = type ?? newest
  if (newestNameOf(name) !== newest)
    throw invalid(`It must stay the same event, in any version: ${newest} is the newest.`)
  const [hidden] = Object.keys(withheldData(data))
  if (hidden !== undefined) throw invalid(`"${hidden}" is taken from the event as it was recorded; leave it out.`)
  for (const [member, value] of Object.entries(original.data ?? {}))
    if (value === idOf(original.stream) && data[member] !== value)
      throw invalid(`"${member}" names the stream and must stay ${JSON.stringify(value)}.`)
  const fact = { type: name, data: { ...data, ...withheldData(original.data) } }
  const problems = problemsWith(fact, `${original.position} (${original.stream}@${original.revision})`)
  if (problems.length > 0)
    throw invalid(problems.map(({ path, message }) => `data${path} ${message}`).join('; '), { problems })
  return fact
}
