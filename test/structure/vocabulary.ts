// The search for names that were replaced.
import {
  configNames,
  type FoundName,
  fileNames,
  metricsIn,
  type NameKind,
  namesIn,
  pageNames,
  typedefsIn,
  wordsOf,
} from './names.ts'
import { folders, pathsIn, readText, SourceFile, sourcesIn } from './source.ts'

/** One entry of test/vocabulary.json that is about names. */
export interface OldName {
  old: string
  use: string
  /** A regular expression on the words of a name as {@link wordsOf} spells them: `-sinks?-` is a word anywhere, `^-near-$` the whole. */
  pattern: string
  /** The kinds of places where the word is this name; any by default. Elsewhere it has its ordinary sense. */
  kinds?: NameKind[]
  /** The beginnings of the paths it is searched under; all by default. */
  under?: string[]
  /** Names that the pattern must match, and names that it must not. */
  hits: string[]
  spares?: string[]
}

export function oldNames(): OldName[] {
  const { names }: { names: OldName[] } = JSON.parse(readText('test/vocabulary.json'))
  return names
}

/** Whether a name that matches `old` is the replaced one, by its place. */
function isTakenFor({ kinds, under }: OldName, { kinds: own, file }: FoundName): boolean {
  const isKind = kinds === undefined || own.some((kind) => kinds.includes(kind))
  return isKind && (under === undefined || under.some((start) => file.startsWith(start)))
}

const documents = ['README.md', 'proxy/README.md', ...pathsIn('config', '{yaml,json}')]
const pages = pathsIn('proxy/ops/dashboard', '{html,css}')

/**
 * The names in proxy/, bench/, config/ and test/ that could be one of `olds`: of code, files, metrics, settings, and the dashboard's
 * page. Metrics are searched in the documents too, but not in the changelog, which names old ones.
 */
function namesFor(olds: readonly OldName[]): FoundName[] {
  const candidates = folders.flatMap(sourcesIn).filter((source) => olds.some((old) => mayStandIn(old, source)))
  return [
    ...candidates.flatMap(namesIn),
    ...folders.flatMap(sourcesIn).flatMap((source) => [...metricsIn(source), ...typedefsIn(source)]),
    ...documents.flatMap((path) => metricsIn(new SourceFile(path, readText(path)))),
    ...folders.flatMap(fileNames),
    ...configNames(),
    ...pages.flatMap((path) => pageNames(new SourceFile(path, readText(path)))),
  ]
}

/** Whether the code of a file could contain `old`, by its text. Other files are not parsed. */
export function mayStandIn(old: OldName, { path, code }: SourceFile): boolean {
  if (old.under !== undefined && !old.under.some((start) => path.startsWith(start))) return false
  const pattern = loosePatterns.get(old) ?? loosePattern(old)
  loosePatterns.set(old, pattern)
  return pattern.test(code)
}

const loosePatterns = new Map<OldName, RegExp>()

/** A pattern that matches wherever a name of `old` could stand. */
function loosePattern({ pattern, kinds }: OldName): RegExp {
  // The words are adjacent, or have one sign between them. An underscore or `#` around them is not part of them.
  const words = pattern.replace(/^\^?-|-\$?$/g, '').replaceAll('-', '[^a-z\\d]?')
  const whole = `(?<![a-z\\d])(${words})(?![a-z\\d])`
  const isOf = (...some: NameKind[]) => kinds?.every((kind) => some.includes(kind)) ?? false
  const declared = `(const|let|function|class|interface|type|enum)\\b[^a-z\\d]+(${words})(?![a-z\\d])`
  const loose = isOf('export', 'file')
    ? `^export (\\{|.*\\b${declared})`
    : isOf('export', 'top', 'file')
      ? `\\b${declared}`
      : pattern.startsWith('^')
        ? whole
        : words
  return new RegExp(loose, 'im')
}

/** The uses of old names, a sentence for each name and file. */
export function oldNamesInUse(olds = oldNames(), names = namesFor(olds)): string[] {
  const spelled = [...Map.groupBy(names, ({ text }) => text)].map(([text, some]) => ({ words: wordsOf(text), some }))
  return olds.flatMap((old) => {
    const pattern = new RegExp(old.pattern)
    const hits = spelled.flatMap(({ words, some }) =>
      pattern.test(words) ? some.filter((name) => isTakenFor(old, name)) : [],
    )
    const places = Map.groupBy(hits, ({ text, file }) => `${file}: ${text}`)
    return [...places].map(([place, at]) => {
      const lines = new Set(at.map(({ line }) => line))
      return `${place} (use: ${old.use}) in line ${[...lines].join(', ')}`
    })
  })
}
