/** A table in Markdown. Without rows, its one row says that nothing has been measured yet. */
export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const body = rows.length > 0 ? rows : [head.map((_, i) => (i === 0 ? 'not measured yet' : ''))]
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n')
}
