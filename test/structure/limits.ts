// The limits of the structure of the code.
import { allowedCasts, anyOf, type Cast, castsOf, judge } from './casts.ts'
import { exercises } from './exercises/all.ts'
import { type Exercise, filesByHand } from './exercises/exercise.ts'
import { functionsOf, longestFunction, type MeasuredFunction } from './functions.ts'
import { importCycles, importFaults } from './imports.ts'
import { folders, home, type SourceFile, sourcesIn } from './source.ts'

/** A file with more lines is listed, which breaks no limit. */
export const longFile = 250

export interface Structure {
  /** The functions of proxy/, longest first. */
  functions: MeasuredFunction[]
  longFiles: SourceFile[]
  cycles: string[][]
  upward: string[]
  /** The casts of proxy/, and its uses of `any`. */
  casts: Cast[]
  /** The names that more than one file of proxy/ exports, with those files. */
  twice: string[]
  additions: Addition[]
}

/** The reach of an exercise, from its edits alone. exercises.live.test.ts tries the result, with a database. */
export interface Addition {
  title: string
  mostFiles: number
  /** The files changed or added by hand. */
  files: string[]
  /** The error of an edit that finds no place. */
  fault?: string
}

/** Files with imports in their strings. */
const holdsTexts = /^test\/(imports\.test\.ts|structure\/exercises\/)/

export function measure(): Structure {
  const proxy = sourcesIn('proxy')
  const all = folders.flatMap(sourcesIn).filter(({ path }) => !holdsTexts.test(path))
  return {
    functions: proxy.flatMap(functionsOf).sort((a, b) => b.lines - a.lines),
    longFiles: [...proxy, ...sourcesIn('bench')].filter(({ lines }) => lines > longFile),
    cycles: importCycles(all),
    upward: importFaults(all),
    casts: proxy.flatMap((source) => [...castsOf(source), ...anyOf(source)]),
    twice: exportedTwice(proxy.filter(({ path }) => path.endsWith('.ts'))),
    additions: exercises.map(additionOf),
  }
}

function additionOf(exercise: Exercise): Addition {
  const { title, mostFiles } = exercise
  try {
    return { title, mostFiles, files: filesByHand(exercise, home) }
  } catch (error) {
    return { title, mostFiles, files: [], fault: String(error) }
  }
}

function exportedTwice(sources: readonly SourceFile[]): string[] {
  const exported = sources.flatMap(({ path, exports }) => exports.map((name) => ({ name, path })))
  return [...Map.groupBy(exported, ({ name }) => name)]
    .filter(([, places]) => places.length > 1)
    .map(([name, places]) => `${name}: ${places.map(({ path }) => path).join(', ')}`)
}

/** Every broken limit, a sentence each. */
export function brokenLimits({ functions, cycles, upward, casts, twice, additions }: Structure): string[] {
  const { refused, unused } = judge(casts, allowedCasts())
  return [
    ...functions
      .filter(({ lines, isTable }) => lines > longestFunction && !isTable)
      .map(({ name, file, line, lines }) => `${name} has ${lines} lines (${file}:${line})`),
    ...cycles.map((files) => `${files.join(', ')} import each other`),
    ...upward,
    ...additions.flatMap(({ title, mostFiles, files, fault }) => {
      if (fault !== undefined) return [`the exercise that adds ${title} does not fit the code: ${fault}`]
      return files.length > mostFiles
        ? [`adding ${title} changes ${files.length} files by hand: ${files.join(', ')}`]
        : []
    }),
    ...twice.map((one) => `exported twice: ${one}`),
    ...refused.map(({ file, line, text, kind }) => `a cast stands for a check (${kind}): ${file}:${line} ${text}`),
    ...unused.map(({ file, type }) => `casts.json allows ${file} a cast to ${type} that is not there`),
  ]
}
