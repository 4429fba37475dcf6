// The paragraphs of documents and comments, with their sentences and words.
import { commentPattern, folders, pathsIn, readText, SourceFile } from './source.ts'

/** A paragraph, a heading, a list item or a table cell. */
export interface FoundText {
  /** With its line breaks. */
  text: string
  file: string
  /** The line in which it begins. */
  line: number
  isCell: boolean
}

/** The Markdown documents, without the changelog, which describes the past. */
export function documentFiles(): SourceFile[] {
  const paths = ['README.md', 'CONTRIBUTING.md', ...folders.flatMap((folder) => pathsIn(folder, 'md'))]
  return paths.map((path) => new SourceFile(path, readText(path)))
}

/** The texts of a Markdown document, in order. Code blocks and HTML comments are left out. */
export function markdownTexts({ path, text }: SourceFile): FoundText[] {
  const found: FoundText[] = []
  let open: FoundText | undefined
  let fence: string | undefined
  /** The column where the text of the latest list item begins. */
  let indent = 0
  for (const [at, whole] of withoutHtmlComments(text).split('\n').entries()) {
    const column = whole.search(/\S|$/)
    const line = whole.slice(column).replace(/^(?:> ?)+/, '')
    const add = (text: string, isCell = false) => {
      const own = { text, file: path, line: at + 1, isCell }
      found.push(own)
      return own
    }
    const mark = /^(?:```|~~~)/.exec(line)?.[0]
    if (fence !== undefined || mark !== undefined || line === '') {
      if (mark !== undefined) fence = fence === undefined ? mark : mark === fence ? undefined : fence
      open = undefined
      continue
    }
    if (open === undefined && column < indent) indent = 0
    if (open === undefined && column >= indent + 4) continue // an indented code block
    const item = listMark.exec(line)?.[0]
    if (line.startsWith('|') || isAlone.test(line)) {
      open = undefined
      if (line.startsWith('|')) for (const cell of cellsOf(line)) add(cell, true)
      else add(line.replace(/^#+ /, ''))
    } else if (item !== undefined) {
      indent = column + item.length
      open = add(line.slice(item.length))
    } else if (open !== undefined) open.text += `\n${line}`
    else open = add(line)
  }
  return found
}

/** A heading, or a line in columns, which comments have. */
const isAlone = /^#+ |\S {3,}\S/

/** The beginning of a list item; in a comment also a tag with its type, or an instruction to a tool. */
const listMark = /^(?:[-*+]|\d+[.)]|@\w+(?:\s+\{.*\})?|biome-ignore \S+)\s+/

const withoutHtmlComments = (text: string) =>
  text.replace(/<!--[\s\S]*?-->/g, (comment) => comment.replace(/[^\n]+/g, ''))

/** The cells of a table row, without those of the row below the head. */
function cellsOf(row: string): string[] {
  const cells = row.replace(/^\|\s*|\s*\|\s*$/g, '').split(/\s*(?<!\\)\|\s*/)
  return cells.filter((cell) => !/^:?-*:?$/.test(cell))
}

export interface Comment {
  /** With spaces in place of its slashes and stars, so that offsets stay the same. */
  text: string
  start: number
  end: number
}

/** The comments of a file of code. Consecutive line comments are one. */
export function commentsIn({ text }: SourceFile): Comment[] {
  return [...text.matchAll(commentPattern)].map(({ 0: whole, index }) => ({
    text: whole.replace(/^[ \t]*(?:\/\*+|\*+\/|\/\/|\*)|\*+\/$/gm, (sign) => ' '.repeat(sign.length)),
    start: index,
    end: index + whole.length,
  }))
}

/** The texts of the comments of a file of code. */
export function commentTexts(source: SourceFile): FoundText[] {
  return commentsIn(source).flatMap(({ text, start }) => {
    const lines = text.split('\n')
    const margin = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)))
    const markdown = lines.map((line) => line.slice(margin)).join('\n')
    const before = source.lineOf(start) - 1
    const texts = markdownTexts(new SourceFile(source.path, markdown))
    return texts.map((found) => ({ ...found, line: found.line + before }))
  })
}

/** Stands for a code span or an unknown value: one word. */
export const oneWord = '\uE000'

/** A piece of Markdown as plain text on one line. A bold label at its beginning becomes a sentence of its own. */
export function plainText(markdown: string): string {
  return markdown
    .replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, oneWord)
    .replace(/!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, '$1')
    .replace(/^\s*\*\*([^*]+)\*\*\s*[:.]/, '$1.')
    .replace(/(?<![\w*])[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?![\w*])/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}

/** The sentences of a piece of Markdown. A colon or a semicolon ends none. */
export function sentencesOf(markdown: string): string[] {
  const sentences: string[] = []
  for (const part of plainText(markdown).split(/(?<=(?<!\.\.)[.!?]["')\]”’]*) /)) {
    const before = sentences.at(-1) ?? ''
    const isAbbreviated = /\b(?:e\.g|i\.e|vs|cf|approx)\.$/i.test(before)
    if (isAbbreviated || (/\betc\.$/.test(before) && /^\p{Ll}/u.test(part)))
      sentences.push(`${sentences.pop()} ${part}`)
    else sentences.push(part)
  }
  return sentences
}

/** The number of words in a sentence. A sign between spaces is no word. */
export function countWords(sentence: string): number {
  return sentence.split(/\s+/).filter((part) => /[\p{L}\p{N}\uE000]/u.test(part)).length
}

/** The sentences in `texts` of more than `mostWords` words, each with its place. */
export function longSentences(texts: readonly FoundText[], mostWords: number): string[] {
  return texts.flatMap(({ text, file, line }) =>
    sentencesOf(text).flatMap((sentence) => {
      const words = countWords(sentence)
      return words > mostWords ? [`${file}:${line}: ${words} words: ${sentence.replaceAll(oneWord, '`…`')}`] : []
    }),
  )
}

/** The table cells in `texts` of `limit` words or more, each with its place. */
export function longCells(texts: readonly FoundText[], limit: number): string[] {
  return texts
    .filter(({ text, isCell }) => isCell && countWords(plainText(text)) >= limit)
    .map(({ text, file, line }) => `${file}:${line}: ${countWords(plainText(text))} words: ${text}`)
}
