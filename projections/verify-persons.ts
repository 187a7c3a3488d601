import type { RecordedEvent } from '../schemas/envelope.ts'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'
import { customerStream } from '../schemas/streams.ts'
import { erasureOf } from './erasure.ts'
import { isForgotten } from './personal-data-eraser.ts'
import type { LogReader, Reach } from './verify-log.ts'
import { canonical, type ExpectedRow, type RowModel } from './verify-model.ts'
import { reading } from './verify-unreadable.ts'

/** Tells whether what a row shows of a person is right: in clear as long as it can be opened, and gone when it cannot. */
export interface PersonCheck {
  /** In the order given; null where the key is gone. */
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
  /** The personal fields that are wrong. */
  wrong(
    model: RowModel,
    expected: ExpectedRow,
    found: Readonly<Record<string, unknown>>,
    person: PersonalData | null,
    reach: Reach,
    skipped: ReadonlySet<bigint>,
  ): Promise<readonly string[]>
}

export const createPersonCheck = (deps: {
  readonly open: (sealed: readonly Sealed[]) => Promise<readonly (PersonalData | null)[]>
  readonly log: LogReader
}): PersonCheck => {
  const { open, log } = deps

  /**
   * Where the log says that a key was given up; undefined when it never was.
   *
   * @param skipped positions of what is parked
   * @throws UnreadableEvent
   */
  const forgottenAt = async (
    customerId: string | undefined,
    keyId: string,
    skipped: ReadonlySet<bigint>,
  ): Promise<bigint | undefined> => {
    if (customerId === undefined) return undefined
    const events = await log.of({ stream: customerStream(customerId) }, ['PersonalDataForgotten'])
    const givesUp = (event: RecordedEvent): boolean => {
      if (!isForgotten(event)) return false
      try {
        return reading(event, () => erasureOf(event)).keyIds.includes(keyId)
      } catch (error) {
        // It is why it is parked, and gives up nothing.
        if (skipped.has(event.position)) return false
        throw error
      }
    }
    return events.find(givesUp)?.position
  }

  return {
    open,
    wrong: async (model, expected, found, person, reach, skipped) => {
      const { personal } = model
      const { sealed, customerId } = expected
      if (!personal || !sealed) return []
      const differing = (right: Readonly<Record<string, unknown>>) =>
        personal.fields.filter((field) => canonical(found[field]) !== canonical(right[field]))
      const wrong = differing(personal.of(person, sealed))
      if (wrong.length === 0) return []
      const at = await forgottenAt(customerId, sealed.keyId, skipped)
      if (at === undefined) return wrong
      // Forgotten: the read model may already have dropped what can still be opened for a moment,
      if (person !== null && differing(personal.of(null, sealed)).length === 0) return []
      // or not have come to the event yet that makes it drop what can be opened no more.
      const applied = customerId !== undefined && at <= reach.upTo(customerStream(customerId)) && !skipped.has(at)
      if (person === null && !applied) {
        const whole = personal.fields.every((field) => found[field] !== null)
        return whole ? [] : wrong
      }
      return wrong
    },
  }
}
