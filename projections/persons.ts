import type { PersonalData, Sealed } from '../schemas/primitives.ts'

/** The part of the personal-data vault that projections use. */
export interface Vault {
  /** One answer per sealed piece, in order; null where the key is gone. One query, however many. */
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
  /** Which of these keys do not exist now. */
  gone(keyIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Destroys keys; those that are gone already change nothing. */
  destroy(keyIds: readonly string[]): Promise<unknown>
}

/** Opens what events hold sealed, early if told in time. */
export interface Persons {
  /** Begins to open. What fails now fails again when it is asked for. */
  openAhead(sealed: readonly Sealed[]): void
  /** One answer per sealed piece, in order, as the vault would give it now: null where the key is gone. */
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
}

type Opened = ReadonlyMap<Sealed, PersonalData | null>
const nothing: Opened = new Map()

export const createPersons = (vault: Vault): Persons => {
  // What was opened lives as long as the events it came in.
  const ahead = new WeakMap<Sealed, Promise<Opened>>()
  return {
    openAhead: (sealed) => {
      const opening = vault.open(sealed).then(
        (persons): Opened => new Map(sealed.map((one, index) => [one, persons[index] ?? null])),
        () => nothing,
      )
      for (const one of sealed) ahead.set(one, opening)
    },
    open: async (sealed) => {
      const openings = new Set(sealed.map((one) => ahead.get(one) ?? nothing))
      const known: Opened = new Map((await Promise.all(openings)).flatMap((opened) => [...opened]))
      const left = sealed.filter((one) => !known.has(one))
      const opened = sealed.filter((one) => known.has(one))
      const [late, gone] = await Promise.all([
        vault.open(left),
        // Since they were opened their keys may have been destroyed and the rows emptied that showed them: whoever
        // writes them now would write them for ever.
        vault.gone([...new Set(opened.map((one) => one.keyId))]),
      ])
      const persons = new Map(left.map((one, index) => [one, late[index] ?? null]))
      return sealed.map((one) => (gone.has(one.keyId) ? null : (persons.get(one) ?? known.get(one) ?? null)))
    },
  }
}
