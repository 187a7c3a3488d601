import { expect, test } from 'vitest'
import { nodesUpTo, nodesWithin } from './board-nodes.ts'

test('the sum of any beginning comes from few nodes, each made of its element and earlier nodes', () => {
  const nodes = [0]
  let sum = 0
  for (let n = 1; n <= 1_100; n += 1) {
    const element = n * n
    sum += element
    expect(nodesWithin(n).every((node) => node < n)).toBe(true)
    nodes.push(nodesWithin(n).reduce((total, node) => total + (nodes[node] ?? Number.NaN), element))
    expect(nodesUpTo(n).reduce((total, node) => total + (nodes[node] ?? Number.NaN), 0)).toBe(sum)
    expect(nodesUpTo(n).length).toBeLessThanOrEqual(Math.log2(n) + 1)
  }
})
