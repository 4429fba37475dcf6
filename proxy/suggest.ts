// The "did you mean" suggestion for a misspelled name.
/** `; did you mean ports?` if one of `known` is at most two edits away, otherwise nothing. */
export function suggest(word: string, known: readonly string[]): string {
  const [best] = known
    .map((candidate) => ({ candidate, edits: editsBetween(word, candidate) }))
    .sort((a, b) => a.edits - b.edits)
  return best !== undefined && best.edits <= Math.min(2, word.length / 2) ? `; did you mean ${best.candidate}?` : ''
}

/** Edits (insert, delete, replace, swap neighbors) between two short words. */
function editsBetween(a: string, b: string): number {
  /** Edits between the first `i` letters of `a` and the first `j` of `b`. */
  const edits: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number) => edits[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    edits.push(row)
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped))
    }
  }
  return at(a.length, b.length)
}
