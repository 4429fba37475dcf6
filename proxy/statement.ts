// Parser that splits SQL at its `:name` parameters.
/**
 * A route's SQL, split at its `:name` parameters.
 *
 * Values are never put into the text: `render` replaces the names by `$1`, `$2` … (or, for a check, by typed NULLs).
 */
export interface Statement {
  /** The distinct parameter names, in the order of their first use: `$1` is `names[0]`. */
  readonly names: readonly string[]
  render(placeholder: (name: string, index: number) => string): string
}

// Tokens whose colons are no parameters, in the order of PostgreSQL's lexer (PostgreSQL 18, 4.1): comments, dollar
// quotes, strings, quoted names, plain names, casts and assignments. Strings may have escapes after E, and may continue
// after a line break. Plain names may contain a $. Any remaining `:name` is a parameter.
const escaped = /'(?:[^'\\]|\\[\s\S]|'')*'/.source
const letter = 'A-Za-z_\\u0080-\\uffff'
const token = new RegExp(
  [
    '--[^\\n\\r]*',
    '/\\*',
    `\\$([${letter}][\\w\\u0080-\\uffff]*)?\\$`,
    `[eE]${escaped}(?:\\s*[\\n\\r]\\s*${escaped})*`,
    `'(?:[^']|'')*'`,
    `"(?:[^"]|"")*"`,
    `[${letter}][\\w$\\u0080-\\uffff]*`,
    '::|:=',
    ':([A-Za-z_]\\w*)',
    ';',
  ].join('|'),
  'g',
)
const onlyEnd = /(?:[;\s]|--[^\n\r]*|\/\*[\s\S]*?\*\/)*$/y

/**
 * Finds the `:name` parameters of `sql`. Comments, string constants, names, dollar quotes and casts are not changed.
 *
 * A semicolon at the end is dropped. PostgreSQL itself rejects a second statement, because every statement is prepared.
 */
export function parseStatement(sql: string): Statement {
  const uses: { before: string; name: string }[] = []
  let from = 0
  let end = sql.length
  token.lastIndex = 0
  for (let match = token.exec(sql); match !== null; match = token.exec(sql)) {
    const [text, dollarTag, name] = match
    if (text === '/*') token.lastIndex = endOfComment(sql, token.lastIndex)
    else if (text.startsWith('$')) token.lastIndex = endOf(sql, `$${dollarTag ?? ''}$`, token.lastIndex)
    else if (text === ';' && isEnd(sql, match.index)) {
      end = match.index
      break
    }
    if (name === undefined) continue
    uses.push({ before: sql.slice(from, match.index), name })
    from = token.lastIndex
  }
  const rest = sql.slice(from, end).trimEnd()
  const names = [...new Set(uses.map(({ name }) => name))]
  return {
    names,
    render(placeholder) {
      return uses.map(({ before, name }) => before + placeholder(name, names.indexOf(name))).join('') + rest
    },
  }
}

/** Whether only semicolons, white space and comments follow. */
function isEnd(sql: string, from: number): boolean {
  onlyEnd.lastIndex = from
  return onlyEnd.test(sql)
}

function endOf(sql: string, mark: string, from: number): number {
  const at = sql.indexOf(mark, from)
  return at === -1 ? sql.length : at + mark.length
}

/** Block comments nest. */
function endOfComment(sql: string, from: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = from
  for (let depth = 1; depth > 0; ) {
    const match = edge.exec(sql)
    if (match === null) return sql.length
    depth += match[0] === '/*' ? 1 : -1
  }
  return edge.lastIndex
}
