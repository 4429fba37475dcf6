// An addition to the program, as the edits it takes, made in a copy of the tree and tried there.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Exercise {
  /** What is added. */
  title: string
  /** The most files that may have to be changed by hand. */
  mostFiles: number
  /** In this order. `before` must stand in the file exactly once, and is replaced by `after`. */
  edits: readonly { file: string; before: string; after: string }[]
  /** Files that are new, with their text. */
  files?: Readonly<Record<string, string>>
  /** A program that throws unless what was added works. Its imports are those of a file in test/; it runs in the copy. */
  probe: string
}

export interface Outcome {
  /** The files that were changed or made by hand, sorted. */
  files: string[]
  /** What the compiler, the generator of the documents or the probe has against the result; empty if nothing. */
  faults: string[]
}

const copied = ['proxy', 'bench', 'config', 'test', 'package.json', 'tsconfig.json', 'README.md', 'CONTRIBUTING.md']
const probing = ['test/probe.ts']
const compiler = 'node_modules/typescript/bin/tsc'
/** `npm run docs` writes these, and tests come with whatever is added. */
const notByHand = /^(test\/|config\/schema\.json$|README\.md$|proxy\/README\.md$)/

/** The texts of the files that `exercise` changes or makes, by path, in the tree at `root`. Throws where an edit finds no place, or two. */
function textsAfter({ edits, files = {} }: Exercise, root: string): Map<string, string> {
  const texts = new Map(Object.entries(files))
  for (const { file, before, after } of edits) {
    const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8')
    const count = text.split(before).length - 1
    if (count !== 1) throw new Error(`${file} has ${count} places, not one, that read: ${before}`)
    texts.set(
      file,
      text.replace(before, () => after),
    )
  }
  return texts
}

/** The files that `exercise` changes or makes by hand, sorted, by its edits alone. Throws where one of them finds no place, or two. */
export function filesByHand(exercise: Exercise, root: string): string[] {
  return [...textsAfter(exercise, root).keys()].filter((file) => !notByHand.test(file)).sort()
}

/** Makes the edits of `exercise` in a copy of the tree at `root`, and tries the result. Throws like {@link filesByHand}. */
export async function tryExercise(exercise: Exercise, root: string, environment = process.env): Promise<Outcome> {
  const { files = {}, probe } = exercise
  const copy = mkdtempSync(join(tmpdir(), 'onramp-exercise-'))
  try {
    for (const name of copied) cpSync(join(root, name), join(copy, name), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    writeFileSync(join(copy, 'test', 'probe.ts'), probe, { flag: 'wx' })
    const isProbing = (await faultsOf(probing, copy, environment)).length > 0
    for (const [file, text] of textsAfter(exercise, root))
      writeFileSync(join(copy, file), text, { flag: file in files ? 'wx' : 'w' })
    const faults = [
      ...(isProbing ? [] : ['The probe passes without the addition.']),
      ...(await faultsOf(['config/generate.ts'], copy, environment)),
      ...(await faultsOf([compiler], copy, environment)),
      ...(await faultsOf([compiler, '-p', 'proxy/ops/dashboard'], copy, environment)),
      ...(await faultsOf(probing, copy, environment)),
    ]
    return { files: filesByHand(exercise, root), faults }
  } finally {
    rmSync(copy, { recursive: true })
  }
}

/** Runs Node in `copy` with `program`. */
async function faultsOf(program: readonly string[], copy: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const outcome = await promisify(execFile)(process.execPath, program, { cwd: copy, env, timeout: 60_000 }).catch(
    (error: { stdout?: string; stderr?: string }) => error,
  )
  if (!(outcome instanceof Error)) return []
  return [`${program.join(' ')}\n${outcome.stdout ?? ''}${outcome.stderr ?? outcome.message}`]
}
