// The search for phrases that were replaced, in all texts that people read.
import { extname } from 'node:path'
import { folders, pathsIn, readText, SourceFile, sourcesIn, walk } from './source.ts'
import { commentsIn, documentFiles } from './texts.ts'

/** One entry of test/vocabulary.json that is about texts. */
export interface OldPhrase {
  old: string
  use: string
  /**
   * A regular expression without capture groups, matched between word boundaries, in any case. A space matches any gap between words: also a
   * line break in a comment.
   */
  pattern: string
  /** The beginnings of the paths it is searched under; all by default. */
  under?: string[]
  /** Texts that the pattern must match, and texts that it must not. */
  hits: string[]
  spares: string[]
}

export function oldPhrases(): OldPhrase[] {
  const { phrases }: { phrases: OldPhrase[] } = JSON.parse(readText('test/vocabulary.json'))
  return phrases
}

/** A match of an old phrase. */
interface Hit {
  old: OldPhrase
  text: string
  index: number
}

/** Returns a function that finds all `olds` in a text with one regular expression, which is fast. */
export function phraseFinder(olds: readonly OldPhrase[]): (text: string, file: string) => Hit[] {
  const any = olds.map(({ pattern }) => `(${pattern.replaceAll(' ', '[\\s*/#>]+')})`).join('|')
  const all = new RegExp(`\\b(?:${any})(?!\\w)`, 'gi')
  return (text, file) =>
    [...text.matchAll(all)].flatMap((match) => {
      const old = olds[match.findIndex((group, at) => at > 0 && group !== undefined) - 1]
      if (old === undefined || !(old.under?.some((start) => file.startsWith(start)) ?? true)) return []
      return [{ old, text: match[0], index: match.index }]
    })
}

/** The files with texts that people read: documents, code, the dashboard's page, the files of config/. */
function readFiles(): SourceFile[] {
  const others = [
    ...['Dockerfile', 'package.json'],
    ...pathsIn('proxy/ops/dashboard', '{html,css}'),
    ...pathsIn('config', '{yaml,json,service,sql}'),
  ]
  return [
    ...documentFiles(),
    ...folders.flatMap(sourcesIn),
    ...others.map((path) => new SourceFile(path, readText(path))),
  ]
}

/** The uses of old phrases, a sentence each. In code, only comments and strings of several words are searched. */
export function phrasesInUse(olds = oldPhrases(), files = readFiles()): string[] {
  const find = phraseFinder(olds)
  return files.flatMap((file) => {
    const hits = find(file.text, file.path)
    if (hits.length === 0) return []
    const isText = textsOf(file)
    return hits
      .filter(({ text, index }) => isText(index, index + text.length))
      .map(({ old, text, index }) => {
        const spelled = text.replace(/[\s*/#>]+/g, ' ')
        return `${file.path}:${file.lineOf(index)}: ${spelled} (use: ${old.use})`
      })
  })
}

/** Returns a function that tells whether the range between two offsets is a text that people read. */
function textsOf(file: SourceFile): (start: number, end: number) => boolean {
  const texts = spansOf(file)
  return (start, end) => texts.some((text) => text.start <= start && end <= text.end)
}

function spansOf(file: SourceFile): Span[] {
  switch (extname(file.path)) {
    case '.ts':
    case '.js':
      return [...commentsIn(file), ...stringsIn(file)]
    case '.css':
      return commentsIn(file)
    case '.html':
      return pageTexts(file)
    default:
      return [{ start: 0, end: file.text.length }]
  }
}

interface Span {
  start: number
  end: number
}

/** The strings and templates of several words. */
function stringsIn(source: SourceFile): Span[] {
  const found: Span[] = []
  walk(source.program, (node) => {
    const isString = node.type === 'Literal' && typeof node.value === 'string'
    if ((isString || node.type === 'TemplateLiteral') && source.text.slice(node.start, node.end).trim().includes(' '))
      found.push({ start: node.start, end: node.end })
  })
  return found
}

/** The visible text of a page, and the attributes that are shown or read out. */
function pageTexts({ text }: SourceFile): Span[] {
  const shown = />[^<]+|\b(?:aria-label|aria-description|title|placeholder|alt|content)="[^"]*"/g
  return [...text.matchAll(shown)].map(({ 0: { length }, index }) => ({ start: index, end: index + length }))
}
