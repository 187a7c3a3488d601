import shared from '@eventstore/db-client/generated/shared_pb.js'
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import timestamp from 'google-protobuf/google/protobuf/timestamp_pb.js'
import { type AppendResult, AppendTooLarge, type ExpectedRevision } from './event-store.ts'
import { engine } from './eventstoredb-event-store-client.ts'
import { EngineUnavailable } from './failures.ts'
import type { ProposedAppend } from './proposed-append.ts'

/** The message that proposes an append. @param deadline when the server may give it up */
export const toRequest = (correlationId: string, append: ProposedAppend, deadline: Date): BatchAppendReq => {
  const options = new streams.BatchAppendReq.Options()
    .setStreamIdentifier(new shared.StreamIdentifier().setStreamName(Buffer.from(append.stream, 'utf8')))
    .setDeadline(timestamp.Timestamp.fromDate(deadline))
  if (append.expected === 'any') options.setAny(new empty.Empty())
  else if (append.expected === 'none') options.setNoStream(new empty.Empty())
  else options.setStreamPosition(append.expected.toString())
  const request = new streams.BatchAppendReq()
    .setCorrelationId(new shared.UUID().setString(correlationId))
    .setOptions(options)
    .setIsFinal(true)
  for (const event of append.events) {
    const message = new streams.BatchAppendReq.ProposedMessage()
      .setId(new shared.UUID().setString(event.id))
      .setData(Buffer.from(event.data, 'utf8'))
      .setCustomMetadata(Buffer.from(event.metadata, 'utf8'))
    message.getMetadataMap().set('type', event.type).set('content-type', 'application/json')
    request.addProposedMessages(message)
  }
  return request
}

/** 16 bytes from two numbers of 64 bits, as text. */
const fromHalves = (most: string, least: string): string => {
  const hex = [most, least].map((half) => BigInt.asUintN(64, BigInt(half)).toString(16).padStart(16, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The correlation id of an answer; the server may send it as text or as numbers. */
export const correlationOf = (response: BatchAppendResp): string => {
  const id = response.getCorrelationId()
  const structured = id?.getStructured()
  return structured
    ? fromHalves(structured.getMostSignificantBits(), structured.getLeastSignificantBits())
    : (id?.getString() ?? '')
}

const conflict = (details: Uint8Array, expected: ExpectedRevision): AppendResult => {
  const wrong = shared.WrongExpectedVersion.deserializeBinary(details)
  const actual = wrong.hasCurrentStreamRevision() ? BigInt(wrong.getCurrentStreamRevision()) : 'none'
  return { outcome: 'conflict', expected, actual }
}

/**
 * What the server answered.
 *
 * @throws AppendTooLarge, EngineUnavailable, Error for a stream that an operator has deleted for good
 */
export const toResult = (response: BatchAppendResp, append: ProposedAppend): AppendResult => {
  const success = response.getSuccess()
  if (success) {
    const position = success.getPosition()
    if (!position) throw new EngineUnavailable(engine, new Error('an append was answered without its position'))
    return {
      outcome: 'appended',
      revision: BigInt(success.getCurrentRevision()),
      position: BigInt(position.getCommitPosition()),
    }
  }
  const error = response.getError()
  const details = error?.getDetails()
  const kind = details?.getTypeName().replace('event_store.client.', '')
  switch (kind) {
    case 'WrongExpectedVersion':
      return conflict(details?.getValue_asU8() ?? new Uint8Array(), append.expected)
    case 'MaximumAppendSizeExceeded':
      throw new AppendTooLarge(append.stream, append.bytes)
    case 'StreamDeleted':
      throw new Error(`the stream ${append.stream} was deleted for good`)
    default:
      throw new EngineUnavailable(engine, new Error(error?.getMessage() || `an append was refused (${kind})`))
  }
}
