/**
 * Sums over the beginning of a sequence, as a Fenwick tree has them: node n holds the sum of the elements from
 * n - (lowest set bit of n) + 1 to n. A beginning of any length is the sum of at most log2(length) + 1 nodes, and
 * everything is in at most as many.
 */

const lowestBit = (n: number): number => n & -n

/** The nodes that add up to the first n elements. */
export const nodesUpTo = (n: number): number[] => {
  const nodes: number[] = []
  for (let node = n; node > 0; node -= lowestBit(node)) nodes.push(node)
  return nodes
}

/** The nodes that, together with element n itself, add up to node n. */
export const nodesWithin = (n: number): number[] => {
  const nodes: number[] = []
  for (let bit = 1; bit < lowestBit(n); bit *= 2) nodes.push(n - bit)
  return nodes
}
