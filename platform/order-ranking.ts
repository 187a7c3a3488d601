import type { OrderDocument, SearchHit } from './search-index.ts'
import {
  answers,
  answersMistyped,
  hasPhrase,
  highlighted,
  parseQuestion,
  type SearchQuestion,
} from './search-question.ts'
import { compoundsOf, fold, isStopWord, stemsOf } from './text-analysis.ts'

/**
 * Decides which orders answer a search, and in which order: an id above a person, a person above a product, a product
 * above a status. As with products, an engine brings candidates and this file judges them.
 */

/** A piece of the question between spaces: perhaps an id, perhaps words. */
export interface OrderPiece {
  /** Folded, as typed: `anna@example.org`, `7f3a12`. */
  readonly text: string
  readonly question: SearchQuestion
}

/** What an engine indexes of an order. */
export interface OrderWords {
  /** Ids of the order, its customer and its parcel, folded. */
  readonly ids: readonly string[]
  /** Stems of the customer's name; e-mail and its domain, folded. Empty once the customer is forgotten. */
  readonly person: readonly string[]
  /** Stems of the products, also neighbours as one word. */
  readonly products: readonly string[]
  /** SKUs and carrier, folded. */
  readonly codes: readonly string[]
}

// The same products are ordered over and over, and cutting their names into words is the dearest part of indexing.
const namesRead = new Map<string, readonly string[]>()
const mostNames = 5_000

const wordsOfProduct = (name: string): readonly string[] => {
  const known = namesRead.get(name)
  if (known) return known
  const stems = stemsOf(name)
  const words = [...stems, ...compoundsOf(stems)]
  if (namesRead.size >= mostNames) namesRead.clear()
  namesRead.set(name, words)
  return words
}

/** The words of an order, the same on every engine. */
export const orderWords = ({ orderId, customerId, trackingId, lines, carrier, person }: OrderDocument): OrderWords => ({
  ids: [orderId, customerId, ...(trackingId ? [trackingId] : [])].map(fold),
  person: person
    ? [...stemsOf(person.name), fold(person.email), fold(person.email.slice(person.email.indexOf('@') + 1))]
    : [],
  products: lines.flatMap(({ name }) => wordsOfProduct(name)),
  codes: [...lines.map(({ sku }) => sku), ...(carrier ? [carrier] : [])].map(fold),
})

const mostPieces = 8

/** The pieces of a question; what is quoted is one piece. */
export const orderPieces = (q: string): OrderPiece[] => {
  const pieces = [...q.matchAll(/["“”„]([^"“”„]+)["“”]|[^\s"“”„]+/g)].map((match) => ({
    text: fold((match[1] ?? match[0]).trim()),
    question: parseQuestion(match[0]),
  }))
  const telling = pieces.filter(({ text, question }) => question.terms.length > 0 && !isStopWord(text))
  return telling.slice(0, mostPieces)
}

/** What a status is also called. */
export const statusCalled = (text: string): string => (text === 'canceled' ? 'cancelled' : text)

const startOf = (whole: string | null, text: string, least: number): number => {
  const folded = fold(whole ?? '')
  if (folded === '' || !folded.startsWith(text)) return 0
  if (folded === text) return 1
  return text.length < least ? 0 : 0.5
}

const emailScore = (email: string, text: string): number => {
  const [local = '', domain = ''] = fold(email).split('@')
  return Math.max(startOf(email, text, 3), startOf(local, text, 3) * 0.6, startOf(domain, text, 4) * 0.3)
}

const wordsScore = (question: SearchQuestion, text: string, match: typeof answers): number => {
  const stems = stemsOf(text)
  if (!question.phrases.every((phrase) => hasPhrase(stems, phrase))) return 0
  const scores = question.terms.map((term) => stems.reduce((most, stem) => Math.max(most, match(term, stem)), 0))
  return scores.includes(0) ? 0 : scores.reduce((sum, score) => sum + score, 0) / scores.length
}

const pieceScore = ({ text, question }: OrderPiece, order: OrderDocument, match: typeof answers): number =>
  Math.max(
    10 * startOf(order.orderId, text, 4),
    9 * startOf(order.trackingId, text, 4),
    8 * startOf(order.customerId, text, 3),
    order.person ? 8 * emailScore(order.person.email, text) : 0,
    order.person ? 5 * wordsScore(question, order.person.name, match) : 0,
    ...order.lines.map((line) => Math.max(3 * startOf(line.sku, text, 3), 2 * wordsScore(question, line.name, match))),
    order.status === statusCalled(text) ? 1.5 : 0,
    0.9 * startOf(order.carrier, text, 3),
  )

const mistyped: typeof answers = (term, stem) => Math.max(answers(term, stem), answersMistyped(term, stem))

/** The orders among the candidates in which every piece is found, best first; of equal ones the newest. */
export const rankOrders = (
  q: string,
  documents: readonly OrderDocument[],
  limit: number,
): SearchHit<OrderDocument>[] => {
  const pieces = orderPieces(q)
  if (pieces.length === 0) return []
  const typed = documents.map((order) => pieces.map((piece) => pieceScore(piece, order, answers)))
  const unknown = pieces.map((_, at) => typed.every((scores) => (scores[at] ?? 0) === 0))
  const whole = parseQuestion(q)
  for (const forgiven of [(at: number) => unknown[at] === true, () => true]) {
    const hits = documents.flatMap((order, row) => {
      const scores = pieces.map((piece, at) => {
        const score = typed[row]?.[at] ?? 0
        return score > 0 || !forgiven(at) ? score : pieceScore(piece, order, mistyped)
      })
      return scores.includes(0) ? [] : [{ order, score: scores.reduce((sum, score) => sum + score, 0) }]
    })
    if (hits.length > 0)
      return hits
        .sort((a, b) => b.score - a.score || compareOrders(a.order, b.order))
        .slice(0, limit)
        .map(({ order, score }) => ({
          id: order.orderId,
          score: Math.round(score * 1e4) / 1e4,
          document: order,
          ...(order.person ? { highlight: highlighted(whole, order.person.name) } : {}),
        }))
  }
  return []
}

const compareOrders = (a: OrderDocument, b: OrderDocument): number => {
  if (a.placedAt !== b.placedAt) return a.placedAt > b.placedAt ? -1 : 1
  return a.orderId < b.orderId ? -1 : 1
}
