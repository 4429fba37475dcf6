/** A table in Markdown. Without rows, its one row says that nothing has been measured yet. */
export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const body = rows.length > 0 ? rows : [head.map((_, i) => (i === 0 ? 'not measured yet' : ''))]
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n')
}

/** `document` with each part between its `<!-- NAME -->` and `<!-- /NAME -->`. Throws for a part without a place. */
export function withParts(document: string, parts: Readonly<Record<string, () => string>>): string {
  return Object.entries(parts).reduce((text, [name, make]) => {
    const between = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`)
    if (!between.test(text))
      throw new Error(`The document has no place for ${name}: <!-- ${name} --> and <!-- /${name} -->.`)
    return text.replace(between, (_all, open, close) => `${open}${make()}\n${close}`)
  }, document)
}
