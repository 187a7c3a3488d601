import fc from 'fast-check'
import { v5 as uuidv5 } from 'uuid'
import { expect, it } from 'vitest'
import { eventIdOf } from './new-events.ts'

it('an event is named by its command and its number as a uuid of version 5', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.nat(1_000), (commandId, index) => {
      expect(eventIdOf(commandId, index)).toBe(uuidv5(`${index}`, commandId))
      expect(eventIdOf(commandId.toUpperCase(), index)).toBe(eventIdOf(commandId, index))
    }),
  )
})

it.each(['', 'c', 'not-a-uuid-but-thirty-six-characters', '0b9f3bb2-8e6e-4b0c-9d59-00000000000'])(
  'no event is named by a command with the id "%s"',
  (commandId) => {
    expect(() => eventIdOf(commandId, 0)).toThrow('is no uuid')
  },
)
