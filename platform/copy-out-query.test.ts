import { expect, test } from 'vitest'
import { createDataPicker } from './copy-out-query.ts'

const message = (kind: string, body: string): Buffer => {
  const header = Buffer.alloc(5)
  header.write(kind)
  header.writeUInt32BE(4 + Buffer.byteLength(body), 1)
  return Buffer.concat([header, Buffer.from(body)])
}

const copyOutResponse = message('H', '\0\0\x01\0\0')
const notice = message('N', 'a notice')
const done = message('c', '')
const complete = message('C', 'COPY 3\0')
const ready = message('Z', 'I')
const answer = Buffer.concat([
  ...[copyOutResponse, message('d', '1\tone\n'), notice, message('d', `2\t${'two'.repeat(100)}\n`)],
  ...[message('d', ''), message('d', '3\tdrei, naïve\n'), done, complete, ready],
])
const data = `1\tone\n2\t${'two'.repeat(100)}\n3\tdrei, naïve\n`

const pickFrom = (chunks: readonly Buffer[]) => {
  const others: Buffer[] = []
  const pick = createDataPicker((bytes) => others.push(Buffer.from(bytes)))
  let ended = 0
  let before = 0
  const picked = chunks.map((chunk) => {
    const { data, ended: here, end } = pick(Buffer.from(chunk))
    if (here > 0) ended = before + here
    before += data.length
    return { data: Buffer.from(data), end }
  })
  return {
    ended,
    data: Buffer.concat(picked.map(({ data }) => data)).toString(),
    others: Buffer.concat(others),
    end: Buffer.concat(picked.flatMap(({ end }) => (end ? [end] : []))),
  }
}
const whole = {
  data,
  ended: Buffer.byteLength(data),
  others: Buffer.concat([copyOutResponse, notice, done, complete]),
  end: ready,
}

test('data is picked out, and all else is left as it was sent', () => {
  expect(pickFrom([answer])).toEqual(whole)
})

test('it does not matter where chunks end', () => {
  for (let cut = 1; cut < answer.length - 1; cut += 1) {
    const { data: picked, ended } = pickFrom([answer.subarray(0, cut), answer.subarray(cut)])
    expect({ picked, ended }).toEqual({ picked: data, ended: whole.ended })
  }
  const bytes = Array.from(answer.subarray(0, -1), (byte) => Buffer.of(byte))
  const { data: picked, ended, others, end } = pickFrom(bytes)
  expect({ data: picked, ended, others, end }).toEqual({ ...whole, end: ready.subarray(0, 5) })
})

test('what belongs to rows that have ended is told from what does not', () => {
  const endings = [...data.matchAll(/\n/g)].map(({ index }) => Buffer.byteLength(data.slice(0, index + 1)))
  const found = Array.from(
    { length: answer.length },
    (_, cut) => pickFrom(Array.from(answer.subarray(0, cut), (byte) => Buffer.of(byte))).ended,
  )
  expect([...new Set(found)]).toEqual([0, ...endings])
  for (let cut = 1; cut < answer.length; cut += 1) expect(pickFrom([answer.subarray(0, cut)]).ended).toBe(found[cut])
  const row = message('d', '1\tone\n').length
  expect(found[copyOutResponse.length + row - 1]).toBe(0)
  expect(found[copyOutResponse.length + row]).toBe(endings[0])
})

test('what comes after the answer is left for whoever is next', () => {
  const notification = message('A', 'news')
  expect(pickFrom([Buffer.concat([message('d', '1\n'), ready, notification])])).toEqual({
    data: '1\n',
    ended: 2,
    others: Buffer.alloc(0),
    end: Buffer.concat([ready, notification]),
  })
})

test('an error among the rows is for pg', () => {
  const error = message('E', 'SERROR\0')
  const { data: picked, others } = pickFrom([Buffer.concat([message('d', '1\n'), error]), ready])
  expect(picked).toBe('1\n')
  expect(others).toEqual(error)
})
