import { asOneWord, isAccessoryWord, synonymsOf } from './search-vocabulary.ts'
import { fold, isStopWord, stemsOf, typosAllowed, typosBetween, wordsOf } from './text-analysis.ts'

/** One word that was asked for and what may stand for it. */
export interface SearchTerm {
  readonly stem: string
  readonly synonyms: readonly string[]
  /** The word written together with its neighbour; finds "airfryer" for "air fryer". */
  readonly compounds: readonly string[]
  /** The word may be unfinished. */
  readonly prefix: boolean
  /** From a quoted phrase: no synonyms, no typos. */
  readonly exact: boolean
}

/** What a person typed, understood once for all engines. */
export interface SearchQuestion {
  /** The whole of it, folded: an SKU or an id perhaps. */
  readonly whole: string
  readonly terms: readonly SearchTerm[]
  /** Stems that must stand next to each other. */
  readonly phrases: readonly (readonly string[])[]
  readonly wantsAccessory: boolean
}

const mostTerms = 12

const joinTwoWords = (stems: readonly string[]): string[] => {
  const joined: string[] = []
  for (let at = 0; at < stems.length; at += 1) {
    const stem = stems[at] ?? ''
    const one = asOneWord(stem, stems[at + 1] ?? '')
    joined.push(one ?? stem)
    if (one !== undefined) at += 1
  }
  return joined
}

const withoutStopWords = (stems: readonly string[]): readonly string[] => {
  const telling = stems.filter((stem) => !isStopWord(stem))
  return telling.length > 0 ? telling : stems
}

/** Reads a query. Any text is a query; one without letters and digits asks for nothing. */
export const parseQuestion = (q: string): SearchQuestion => {
  const phrases: string[][] = []
  const loose = q.replace(/["“”„]([^"“”„]*)["“”]/g, (_, quoted: string) => {
    const stems = stemsOf(quoted).slice(0, mostTerms)
    if (stems.length > 0) phrases.push(stems)
    return ' '
  })
  const unfinished = /[\p{L}\p{N}]$/u.test(loose)
  const stems = withoutStopWords(joinTwoWords(stemsOf(loose))).slice(0, mostTerms)
  const terms = stems.map((stem, at): SearchTerm => {
    const before = stems[at - 1]
    const after = stems[at + 1]
    return {
      stem,
      synonyms: synonymsOf(stem),
      compounds: [before === undefined ? '' : before + stem, after === undefined ? '' : stem + after].filter(
        (compound) => compound !== '' && !/\d/.test(compound),
      ),
      prefix: unfinished && at === stems.length - 1,
      exact: false,
    }
  })
  for (const stem of phrases.flat()) terms.push({ stem, synonyms: [], compounds: [], prefix: false, exact: true })
  return {
    whole: fold(q.trim()),
    terms: terms.slice(0, mostTerms),
    phrases,
    wantsAccessory: terms.some((term) => isAccessoryWord(term.stem)),
  }
}

/** How well a word of a document answers a term, 0 (not at all) to 1 (it is the word). Typos are asked for apart. */
export const answers = (term: SearchTerm, stem: string): number => {
  if (stem === term.stem) return 1
  if (term.exact) return 0
  if (term.compounds.includes(stem)) return 1
  if (term.synonyms.includes(stem)) return 0.85
  if (term.prefix && stem.startsWith(term.stem)) return 0.6 + (0.3 * term.stem.length) / stem.length
  return 0
}

// The words of candidates repeat, and comparing two words letter by letter is the dearest part of ranking.
const comparisons = new WeakMap<SearchTerm, Map<string, number>>()

/** How well a word answers a term that may have been mistyped, 0 when it is too far off. */
export const answersMistyped = (term: SearchTerm, stem: string): number => {
  const allowed = term.exact ? 0 : typosAllowed(term.stem)
  if (allowed === 0 || Math.abs(stem.length - term.stem.length) > allowed) return 0
  const compared = comparisons.get(term) ?? new Map<string, number>()
  comparisons.set(term, compared)
  const known = compared.get(stem)
  if (known !== undefined) return known
  const typos = typosBetween(term.stem, stem, allowed)
  const score = typos > allowed ? 0 : 0.8 - 0.15 * typos
  compared.set(stem, score)
  return score
}

/** Whether the phrase stands in the stems, word for word. */
export const hasPhrase = (stems: readonly string[], phrase: readonly string[]): boolean =>
  stems.some((_, at) => phrase.every((stem, offset) => stems[at + offset] === stem))

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** A text as HTML, the words that answer the question in `<mark>`. */
export const highlighted = (question: SearchQuestion, text: string): string => {
  let html = ''
  let done = 0
  for (const { stem, start, end } of wordsOf(text)) {
    if (!question.terms.some((term) => answers(term, stem) > 0 || answersMistyped(term, stem) > 0)) continue
    html += `${escapeHtml(text.slice(done, start))}<mark>${escapeHtml(text.slice(start, end))}</mark>`
    done = end
  }
  return html + escapeHtml(text.slice(done))
}
