/**
 * The words of a text, as every search engine indexes them and is asked for them: accents folded, lower case, numbers
 * apart from letters ("iPhone15" is "iphone 15", "256GB" is "256 gb"), plurals reduced. Only letters and digits remain,
 * so no word can be mistaken for an operator of any query language.
 */

/** Letters that Unicode does not decompose. */
const letters: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ð: 'd',
  þ: 'th',
  ı: 'i',
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII
const ascii = /^[\u0000-\u007f]*$/

/** Lower case without accents: "Café" and "CAFE" are "cafe". */
export const fold = (text: string): string => {
  // Most text is ASCII, and decomposing it costs five times what lower-casing does.
  if (ascii.test(text)) return text.toLowerCase()
  return (
    text
      .normalize('NFKD')
      .replace(/\p{M}/gu, '')
      .toLowerCase()
      .replace(/[ßæœøłđðþı]/g, (letter) => letters[letter] ?? letter)
      // Lower-casing can itself bring a combining mark ("İ").
      .replace(/\p{M}/gu, '')
  )
}

const irregularPlurals: Readonly<Record<string, string>> = {
  men: 'man',
  women: 'woman',
  children: 'child',
  mice: 'mouse',
  knives: 'knife',
  shelves: 'shelf',
  feet: 'foot',
}

/** The singular of an English word, near enough for both sides of a comparison to meet. */
export const singular = (word: string): string => {
  const irregular = irregularPlurals[word]
  if (irregular !== undefined) return irregular
  if (word.length <= 3 || !word.endsWith('s') || /(ss|us|is)$/.test(word)) return word
  if (/[^aeiou]ies$/.test(word) && word.length > 4) return `${word.slice(0, -3)}y`
  if (/(ch|sh|ss|x|zz)es$/.test(word)) return word.slice(0, -2)
  return word.slice(0, -1)
}

/** A word as it is compared and where it stands in the text that it was read from. */
export interface Word {
  readonly stem: string
  readonly start: number
  readonly end: number
}

// An apostrophe stays inside a word ("women's") and goes with its s; a mark belongs to the letter before it.
const word = /\p{L}[\p{L}\p{M}]*(?:['’]\p{L}[\p{L}\p{M}]*)*|\p{Nd}+/gu

/** The words of a text in their order, at most `limit`. */
export const wordsOf = (text: string, limit = 1_000): Word[] => {
  const words: Word[] = []
  for (const match of text.matchAll(word)) {
    const stem = singular(fold(match[0].replace(/['’]s$/iu, '')).replace(/[^\p{L}\p{N}]/gu, ''))
    if (stem === '' || stem.length > 100) continue
    words.push({ stem, start: match.index, end: match.index + match[0].length })
    if (words.length === limit) break
  }
  return words
}

/** Only the stems of `wordsOf`. */
export const stemsOf = (text: string): string[] => wordsOf(text).map((found) => found.stem)

/** Neighbouring words written as one: "Air Fryer" is also found as "airfryer". Numbers stay apart. */
export const compoundsOf = (stems: readonly string[]): string[] =>
  stems.slice(1).flatMap((stem, index) => {
    const before = stems[index] ?? ''
    return /\d/.test(before + stem) ? [] : [before + stem]
  })

const stopWords = new Set(['a', 'an', 'and', 'at', 'by', 'for', 'from', 'in', 'of', 'on', 'or', 'the', 'to', 'with'])
export const isStopWord = (stem: string): boolean => stopWords.has(stem)

/** How many typos a word of this length is forgiven; none in numbers. */
export const typosAllowed = (stem: string): 0 | 1 | 2 => {
  if (stem.length < 4 || /\d/.test(stem)) return 0
  return stem.length < 8 ? 1 : 2
}

/**
 * Typos between two words: letters added, left out, replaced, or two neighbours swapped (optimal string alignment).
 * Counts no further than `most` + 1.
 */
export const typosBetween = (a: string, b: string, most: number): number => {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
        cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1)
      current.push(cost)
    }
    if (Math.min(...current) > most) return most + 1
    beforeLast = last
    last = current
  }
  return Math.min(last[b.length] ?? most + 1, most + 1)
}

/** The word with each two neighbouring letters swapped: the typos that share too few trigrams with what was meant. */
export const swapsOf = (stem: string): string[] =>
  typosAllowed(stem) === 0
    ? []
    : Array.from(
        { length: stem.length - 1 },
        (_, at) => stem.slice(0, at) + (stem[at + 1] ?? '') + (stem[at] ?? '') + stem.slice(at + 2),
      ).filter((swapped) => swapped !== stem)
