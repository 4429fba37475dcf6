// "did you mean".
/** `; did you mean ports?` where one of `known` is at most two edits away. */
export function suggest(word: string, known: readonly string[]): string {
  const best = known
    .map((candidate) => ({ candidate, edits: editsBetween(word, candidate) }))
    .sort((a, b) => a.edits - b.edits)[0]
  return best !== undefined && best.edits <= Math.min(2, word.length / 2) ? `; did you mean ${best.candidate}?` : ''
}

/** Edits (insert, delete, replace, swap of neighbours) between two short words. */
function editsBetween(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const [above, left, corner] = [rows[i - 1]?.[j] as number, row[j - 1] as number, rows[i - 1]?.[j - 1] as number]
      let least = Math.min(above + 1, left + 1, corner + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (rows[i - 2]?.[j - 2] as number) + 1)
      row.push(least)
    }
    rows.push(row)
  }
  return rows[a.length]?.[b.length] as number
}
