import type { ProductDocument, SearchHit } from './search-index.ts'
import {
  answers,
  answersMistyped,
  hasPhrase,
  highlighted,
  type SearchQuestion,
  type SearchTerm,
} from './search-question.ts'
import { isAccessory, partsOfName } from './search-vocabulary.ts'
import { compoundsOf, fold, isStopWord, stemsOf } from './text-analysis.ts'

/**
 * Decides which of the candidates that an engine found are answers, and in which order. An engine only has to bring
 * the right candidates (generously: by any of the words, their synonyms, beginnings and near misses); what a search
 * shows is the same on all of them.
 */

/** What an engine indexes of a product: its words by where they stand, most telling first. */
export interface ProductWords {
  /** What it is: "Silicone Case" of "Silicone Case for iPhone 15 Pro". */
  readonly itself: readonly string[]
  readonly compounds: readonly string[]
  readonly brand: readonly string[]
  readonly category: readonly string[]
  readonly madeFor: readonly string[]
  /** Read when it is asked for: it is long and seldom decides anything. */
  description(): readonly string[]
  readonly accessory: boolean
}

/** The words of a product, the same for indexing and for ranking. */
export const productWords = (product: ProductDocument): ProductWords => {
  const { itself, madeFor } = partsOfName(product.name)
  const words = stemsOf(itself)
  let description: readonly string[] | undefined
  return {
    itself: words,
    compounds: compoundsOf(words),
    brand: stemsOf(product.brand),
    category: stemsOf(product.category),
    madeFor: stemsOf(madeFor),
    description: () => {
      description ??= stemsOf(product.description)
      return description
    },
    accessory: isAccessory(product),
  }
}

/** What a word is worth by where it stands. */
const worth = { itself: 1, brand: 0.8, category: 0.6, madeFor: 0.5, description: 0.15, sku: 0.3 }
const precisionWorth = 0.5
const phraseWorth = 0.1
/** An accessory when a product was asked for, or the other way round. */
const notWhatWasMeant = 0.4

type Match = (term: SearchTerm, stem: string) => number

const best = (term: SearchTerm, stems: readonly string[], match: Match): number =>
  stems.reduce((most, stem) => Math.max(most, match(term, stem)), 0)

const termScore = (term: SearchTerm, words: ProductWords, match: Match): number =>
  Math.max(
    worth.itself * Math.max(best(term, words.itself, match), best(term, words.compounds, match)),
    worth.brand * best(term, words.brand, match),
    worth.category * best(term, words.category, match),
    worth.madeFor * best(term, words.madeFor, match),
  )

/** The share of the product's own name that was asked for: "iPhone 15 Pro" is closer than "iPhone 15 Pro Max". */
const precision = (question: SearchQuestion, words: ProductWords, match: Match): number => {
  const own = words.itself.filter((stem) => !isStopWord(stem) && !words.brand.includes(stem))
  if (own.length === 0) return 0
  const asked = own.filter((stem) => question.terms.some((term) => match(term, stem) >= 0.9))
  return asked.length / own.length
}

interface Candidate {
  readonly document: ProductDocument
  readonly words: ProductWords
  /** Per term: what it scores as typed. */
  readonly typed: readonly number[]
}

const assess = (question: SearchQuestion, document: ProductDocument): Candidate => {
  const words = productWords(document)
  const bySku = fold(document.sku).startsWith(question.whole) ? worth.sku : 0
  const typed = question.terms.map((term) => {
    const score = Math.max(termScore(term, words, answers), bySku)
    return score > 0 ? score : worth.description * best(term, words.description(), answers)
  })
  return { document, words, typed }
}

const standTogether = (question: SearchQuestion, { words }: Candidate): boolean =>
  question.phrases.every((phrase) =>
    [() => [...words.itself, ...words.madeFor], () => words.brand, () => words.category, words.description].some(
      (stems) => hasPhrase(stems(), phrase),
    ),
  )

const scoreOf = (question: SearchQuestion, candidate: Candidate, terms: readonly number[]): number => {
  const { words, document } = candidate
  if (question.whole !== '' && fold(document.sku) === question.whole) return 100
  const sum = terms.reduce((total, score) => total + score, 0)
  const inOrder = hasPhrase(
    words.itself,
    question.terms.map((term) => term.stem),
  )
  const match: Match = (term, stem) => Math.max(answers(term, stem), answersMistyped(term, stem) > 0 ? 0.9 : 0)
  const score = sum / terms.length + precisionWorth * precision(question, words, match) + (inOrder ? phraseWorth : 0)
  return words.accessory === question.wantsAccessory ? score : score * notWhatWasMeant
}

/** What each term scores: as typed, or where typos are forgiven, as meant. */
const forgiving = (question: SearchQuestion, { typed, words }: Candidate, forgiven: (term: number) => boolean) =>
  typed.map((score, at) => {
    const term = question.terms[at]
    return score > 0 || !term || !forgiven(at) ? score : termScore(term, words, answersMistyped)
  })

/**
 * The answers among the candidates, best first. A word that is found as typed is never taken for a typo, unless nothing
 * would be found otherwise. All words must be found; of three or more, two thirds will do when no product has them all.
 */
export const rankProducts = (
  question: SearchQuestion,
  documents: readonly ProductDocument[],
  limit: number,
): SearchHit<ProductDocument>[] => {
  if (question.terms.length === 0 && question.whole === '') return []
  const candidates = documents
    .map((document) => assess(question, document))
    .filter((candidate) => standTogether(question, candidate))
  const unknown = question.terms.map((_, at) => candidates.every((candidate) => (candidate.typed[at] ?? 0) === 0))
  const needed = question.terms.length
  const most = needed < 3 ? needed : Math.ceil((needed * 2) / 3)
  for (const [forgiven, atLeast] of [
    [(at: number) => unknown[at] === true, needed],
    [() => true, needed],
    [() => true, most],
  ] as const) {
    const hits = candidates.flatMap((candidate) => {
      const terms = forgiving(question, candidate, forgiven)
      if (needed === 0 || terms.filter((score) => score > 0).length < atLeast) return []
      return [{ candidate, score: scoreOf(question, candidate, terms) }]
    })
    if (hits.length > 0)
      return hits
        .sort((a, b) => b.score - a.score || compareNames(a.candidate.document, b.candidate.document))
        .slice(0, limit)
        .map(({ candidate: { document }, score }) => ({
          id: document.sku,
          score: Math.round(score * 1e4) / 1e4,
          document,
          highlight: highlighted(question, document.name),
        }))
  }
  return []
}

const compareNames = (a: ProductDocument, b: ProductDocument): number =>
  a.name.length - b.name.length || (a.sku < b.sku ? -1 : 1)
