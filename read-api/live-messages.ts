import type { RawData } from 'ws'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { CommandRejected, errors } from '../schemas/errors.ts'
import { type ClientMessage, type ServerMessage, subscribeMessages, UnsubscribeMessage } from '../schemas/live.ts'
import { validate } from '../schemas/validation.ts'

const jsonOf = (data: RawData, isBinary: boolean): Readonly<Record<string, unknown>> => {
  if (isBinary) throw new CommandRejected('unknown-message', { detail: 'binary frames carry no meaning here' })
  let value: unknown
  try {
    value = JSON.parse(String(data))
  } catch (error) {
    throw new CommandRejected('malformed-json', { detail: error instanceof Error ? error.message : String(error) })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CommandRejected('unknown-message', { detail: 'a message is a JSON object with a type' })
  return value as Readonly<Record<string, unknown>>
}

const schemaOf = ({ type, channel }: Readonly<Record<string, unknown>>) => {
  if (type === 'unsubscribe') return UnsubscribeMessage
  if (type !== 'subscribe')
    throw new CommandRejected('unknown-message', { detail: 'the types are subscribe and unsubscribe' })
  if (typeof channel !== 'string' || !Object.hasOwn(subscribeMessages, channel))
    throw new CommandRejected('unknown-channel', {
      detail: `the channels are ${Object.keys(subscribeMessages).join(', ')}`,
    })
  return subscribeMessages[channel as keyof typeof subscribeMessages]
}

/**
 * The message in a frame.
 *
 * @throws CommandRejected `malformed-json`, `unknown-message`, `unknown-channel` or `invalid-request`, with the id that
 *   the client gave, if it can be made out
 */
export const parseClientMessage = (data: RawData, isBinary: boolean): ClientMessage => {
  const value = jsonOf(data, isBinary)
  const id = typeof value.id === 'string' && value.id.length <= 64 ? { id: value.id } : {}
  try {
    const validation = validate(schemaOf(value), value)
    if (validation.valid) return validation.value as ClientMessage
    const detail = validation.problems.map(({ path, message }) => `${path || 'the message'} ${message}`).join('; ')
    throw new CommandRejected('invalid-request', { detail })
  } catch (error) {
    if (error instanceof CommandRejected) throw new CommandRejected(error.code, { ...error.details, ...id })
    throw error
  }
}

type ErrorMessage = Extract<ServerMessage, { type: 'error' }>

/** The error message of a refusal; anything else is an internal error whose particulars stay in the log. */
export const errorMessageOf = (error: unknown, id?: string): ErrorMessage => {
  const known = error instanceof CommandRejected || error instanceof UndecodableEvent
  const code = known ? error.code : 'internal-error'
  const details = error instanceof CommandRejected ? error.details : known ? { detail: error.message } : {}
  const about = id ?? details.id
  return {
    type: 'error',
    ...(typeof about === 'string' ? { id: about } : {}),
    code,
    title: errors[code].title,
    ...(typeof details.detail === 'string' ? { detail: details.detail } : {}),
  }
}
