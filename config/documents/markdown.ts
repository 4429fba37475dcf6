/** `document` with each part between its `<!-- NAME -->` and `<!-- /NAME -->`. Throws for a part without a place. */
export function withParts(document: string, parts: Readonly<Record<string, () => string>>): string {
  return Object.entries(parts).reduce((text, [name, make]) => {
    const between = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`)
    if (!between.test(text))
      throw new Error(`The document has no place for ${name}: <!-- ${name} --> and <!-- /${name} -->.`)
    return text.replace(between, (_all, open, close) => `${open}${make()}\n${close}`)
  }, document)
}
