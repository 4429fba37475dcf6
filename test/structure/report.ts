// Prints a report on the structure of the code; exit code 1 if a limit is broken: node test/structure/report.ts
import { allowedCasts, castsOf, judge } from './casts.ts'
import { brokenLimits, longFile, measure } from './limits.ts'
import { phrasesInUse } from './phrases.ts'
import { folders, sourcesIn } from './source.ts'
import { oldNamesInUse } from './vocabulary.ts'

const structure = measure()
const { functions, longFiles, cycles, upward, casts, twice, additions } = structure
const { refused } = judge(casts, allowedCasts())
const broken = brokenLimits(structure)

const [tables, measured] = [functions.filter(({ isTable }) => isTable), functions.filter(({ isTable }) => !isTable)]
print(
  `The ten longest of ${measured.length} functions in proxy/, beside ${tables.length} flat tables`,
  measured.slice(0, 10).map(({ name, file, line, lines }) => `${lines} lines  ${name}  ${file}:${line}`),
)
print(
  'The longest flat tables',
  tables.slice(0, 3).map(({ name, file, line, lines }) => `${lines} lines  ${name}  ${file}:${line}`),
)
print(
  `Files of more than ${longFile} lines in proxy/ and bench/`,
  longFiles.sort((a, b) => b.lines - a.lines).map(({ path, lines }) => `${lines} lines  ${path}`),
)
print(
  'Import cycles',
  cycles.map((files) => files.join(' <-> ')),
)
print('Imports that go upward, or from a folder to one that is not listed for it', upward)
print(
  'Files that an addition changes by hand (exercises/run.ts and exercises.live.test.ts try each)',
  additions.map(
    ({ title, mostFiles, files, fault }) =>
      `${title}: ${fault ?? `${files.length} of at most ${mostFiles}: ${files.join(', ')}`}`,
  ),
)
print('Names exported by two files of proxy/', twice)
print(
  `Casts in proxy/ that stand for a missing check, ${refused.length} of ${casts.length}; the others are allowed in casts.json`,
  [...Map.groupBy(refused, ({ file }) => file)].map(([file, some]) => {
    const kinds = [...Map.groupBy(some, ({ kind }) => kind)].map(([kind, { length }]) => `${length} ${kind}`)
    const lines = some.map(({ line }) => line).join(' ')
    return `${file}: ${kinds.join(', ')} (lines ${lines})`
  }),
)
print(
  'Casts elsewhere, which are not limited',
  folders.slice(1).map((folder) => `${sourcesIn(folder).flatMap(castsOf).length}  ${folder}/`),
)
print('Old names in use (test/vocabulary.json)', oldNamesInUse().sort())
print('Old phrases in use (test/vocabulary.json)', phrasesInUse())
print(`Broken limits: ${broken.length}`, broken)
process.exitCode = broken.length > 0 ? 1 : 0

function print(title: string, lines: readonly string[]): void {
  process.stdout.write(`${title}\n${(lines.length > 0 ? lines : ['none']).map((line) => `  ${line}\n`).join('')}\n`)
}
