import type { PersonalData, Sealed } from '../schemas/primitives.ts'

/** The part of the personal-data vault that projections use. */
export interface Vault {
  /** One answer per sealed piece, in order; null where the key is gone. One query, however many. */
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
  /** The same, perhaps by keys that were destroyed a moment ago; default: as `open` does. */
  openEarly?(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
  /** Which of these keys do not exist now. */
  gone(keyIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Destroys keys; those that are gone already change nothing. */
  destroy(keyIds: readonly string[]): Promise<unknown>
}

/** Opens what events hold sealed, early if told in time. */
export interface Persons {
  /** Begins to open. What fails now fails again when it is asked for. */
  openAhead(sealed: readonly Sealed[]): void
  /**
   * Who was sealed in these, null where the key was gone when they were opened. It may have been destroyed since: whoever
   * writes a person has to ask for it once more.
   */
  open(sealed: readonly Sealed[]): Promise<(one: Sealed) => PersonalData | null>
}

/** One piece on its way to who is in it. */
interface Opening {
  readonly done: Promise<void>
  /** Undefined while it is not opened, or could not be. */
  person: PersonalData | null | undefined
}

export const createPersons = (vault: Vault): Persons => {
  // What was opened lives as long as the events it came in.
  const openings = new WeakMap<Sealed, Opening>()
  const found = (one: Sealed) => openings.get(one)?.person
  const personOf = (one: Sealed): PersonalData | null => found(one) ?? null
  return {
    openAhead: (sealed) => {
      const opening = (vault.openEarly ?? vault.open)(sealed)
      const ahead: Opening[] = []
      const done = opening.then(
        (persons) => {
          for (const [index, one] of ahead.entries()) one.person = persons[index] ?? null
        },
        () => undefined,
      )
      for (const one of sealed) {
        const each = { done, person: undefined }
        ahead.push(each)
        openings.set(one, each)
      }
    },
    open: async (sealed) => {
      await Promise.all(new Set(sealed.map((one) => openings.get(one)?.done)))
      const left = sealed.filter((one) => found(one) === undefined)
      if (left.length > 0) {
        const persons = await vault.open(left)
        left.forEach((one, index) => {
          openings.set(one, { done: Promise.resolve(), person: persons[index] ?? null })
        })
      }
      return personOf
    },
  }
}
