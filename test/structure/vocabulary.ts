// Names that were replaced, and where they still are.
import { configNames, type FoundName, fileNames, type NameKind, namesIn, wordsOf } from './names.ts'
import { folders, readText, sourcesIn } from './source.ts'

/** One entry of test/vocabulary.json. */
export interface OldName {
  old: string
  use: string
  /** A regular expression on the words of a name as {@link wordsOf} spells them: `-rungs?-` is a word anywhere, `^-near-$` the whole. */
  pattern: string
  /** Where the word is taken for this name; everywhere if nothing is said. Elsewhere it has its ordinary sense. */
  kinds?: NameKind[]
  /** What the path of the file begins with; any if nothing is said. */
  under?: string[]
  /** Names it must hit, and names it must not. */
  hits: string[]
  spares?: string[]
}

export function oldNames(): OldName[] {
  return JSON.parse(readText('test/vocabulary.json'))
}

/** Whether a name that `old` fits is the one that was replaced, by where it stands. */
function isTakenFor({ kinds, under }: OldName, { kinds: own, file }: FoundName): boolean {
  const isKind = kinds === undefined || own.some((kind) => kinds.includes(kind))
  return isKind && (under === undefined || under.some((start) => file.startsWith(start)))
}

/** All names of proxy/, bench/, config/ and test/: of code, of files, of metrics and of settings. */
export function allNames(): FoundName[] {
  return [
    ...folders.flatMap((folder) => [...sourcesIn(folder).flatMap(namesIn), ...fileNames(folder)]),
    ...configNames(),
  ]
}

/** Where old names are still in use, a sentence for each name and file. */
export function oldNamesInUse(names = allNames(), olds = oldNames()): string[] {
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
