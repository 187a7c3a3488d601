import { fold, stemsOf } from './text-analysis.ts'

/** Words that people use for the same thing, as stems. Asking for one finds the others, after those that match exactly. */
const sameThing: readonly (readonly string[])[] = [
  ['phone', 'smartphone', 'mobile', 'cellphone', 'handset'],
  ['laptop', 'notebook'],
  ['tv', 'television', 'telly'],
  ['sneaker', 'trainer'],
  ['headphone', 'earphone', 'earbud', 'headset'],
  ['charger', 'psu'],
  ['case', 'cover'],
  ['cable', 'cord', 'lead'],
  ['fridge', 'refrigerator'],
  ['sofa', 'couch'],
  ['vacuum', 'hoover'],
  ['backpack', 'rucksack'],
  ['monitor', 'display'],
  ['smartwatch', 'watch'],
  ['jumper', 'sweater', 'pullover'],
  ['trouser', 'pant'],
  ['tshirt', 'tee'],
  ['mount', 'bracket'],
  ['kettle', 'boiler'],
]

/** Two words that mean one of the above. */
const twoWords: Readonly<Record<string, string>> = {
  'mobile phone': 'phone',
  'cell phone': 'phone',
  'cellular phone': 'phone',
  'smart phone': 'phone',
  'note book': 'notebook',
  'ear bud': 'earbud',
  'ear phone': 'earphone',
  'tennis shoe': 'sneaker',
  'gym shoe': 'sneaker',
}

/** One word for another that is asked for in its place in this trade but does not mean the same. */
const oneWay: Readonly<Record<string, readonly string[]>> = {
  maker: ['machine'],
  sneaker: ['shoe'],
  trainer: ['shoe'],
  bag: ['sleeve', 'backpack'],
}

const synonyms = new Map<string, string[]>()
for (const group of sameThing)
  for (const stem of group) synonyms.set(stem, [...(synonyms.get(stem) ?? []), ...group.filter((one) => one !== stem)])
for (const [stem, others] of Object.entries(oneWay)) synonyms.set(stem, [...(synonyms.get(stem) ?? []), ...others])

/** What else is looked for when this stem is asked for. */
export const synonymsOf = (stem: string): readonly string[] => synonyms.get(stem) ?? []

/** The one word for two neighbours, if they have one. */
export const asOneWord = (first: string, second: string): string | undefined => twoWords[`${first} ${second}`]

const accessories = new Set(
  stemsOf(
    `accessory adapter armband band bag battery bracket cable cartridge case charger cloth cord cover descaler detergent
     dock filter grip holder hub insole kit lace lanyard lead lens mount pad pouch protector psu refill remote replacement
     skin sleeve stand strap stylus tripod`,
  ),
)

/** Whether the word names something that is made for another product. */
export const isAccessoryWord = (stem: string): boolean => accessories.has(stem)

/** A product's name in its two halves: what it is, and what it is for or comes with. */
export const partsOfName = (name: string): { readonly itself: string; readonly madeFor: string } => {
  const split = /^(.{2,}?)(\s+(?:for|fits|compatible with|with|incl\.?|including)\s.*)$/i.exec(name)
  return split ? { itself: split[1] ?? name, madeFor: split[2] ?? '' } : { itself: name, madeFor: '' }
}

/** Whether a product is made for another one, as its name or category says. */
export const isAccessory = (product: { readonly name: string; readonly category: string }): boolean => {
  const { itself } = partsOfName(product.name)
  // A sleeve of a shirt is no sleeve for a laptop.
  const words = fold(`${itself} ${product.category}`).replace(/\b(long|short)[ -]sleeved?\b/g, '')
  return stemsOf(words).some(isAccessoryWord)
}
