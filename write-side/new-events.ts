import { hash } from 'node:crypto'
import { encodeEvent } from '../schemas/codec.ts'
import type { CommandContext } from '../schemas/commands.ts'
import type { NewEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'

/** The decimal digits of a number as the hex of their ASCII. */
const indexHex = (index: number): string => `3${[...`${index}`].join('3')}`

/**
 * The id of a command's n-th event: the same again when the command is repeated. It is `v5(index, commandId)` of the
 * `uuid` package, at a third of its cost, which each command pays.
 *
 * @throws RangeError for a command id that is no uuid
 */
export const eventIdOf = (commandId: string, index: number): string => {
  const name = `${commandId.replaceAll('-', '')}${indexHex(index)}`
  const bytes = Buffer.from(name, 'hex')
  // Hex is read up to the first character that is none: without this, ids that are no uuid would name the same event.
  if (commandId.length !== 36 || bytes.length * 2 !== name.length || bytes.length < 17)
    throw new RangeError(`${JSON.stringify(commandId)} is no uuid`)
  const sum = hash('sha1', bytes, 'hex')
  const variant = ((Number.parseInt(sum.slice(16, 18), 16) & 0x3f) | 0x80).toString(16)
  return `${sum.slice(0, 8)}-${sum.slice(8, 12)}-5${sum.slice(13, 16)}-${variant}${sum.slice(18, 20)}-${sum.slice(20, 32)}`
}

/**
 * An event ready for the log.
 *
 * @throws InvalidEvent
 */
export const newEvent = (id: string, event: DomainEvent, context: CommandContext): NewEvent => {
  const { commandId, correlationId, causationId, actor, traceparent } = context
  return {
    id,
    ...encodeEvent(event),
    metadata: { commandId, correlationId, causationId, actor, ...(traceparent === undefined ? {} : { traceparent }) },
  }
}
