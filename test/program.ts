import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterAll, afterEach, beforeEach, inject } from 'vitest'
import { newFolder, recorded } from '../bench/servers/run-folder.ts'

const main = new URL('../proxy/main.ts', import.meta.url).pathname

/** The program, as a process of its own. */
export interface Program {
  child: ChildProcessByStdio<null, Readable, Readable>
  output(): string
  errors(): string
  /** Resolves with the exit code. */
  ended: Promise<number | null>
}

/** A running program, and its addresses. */
export interface Serving extends Program {
  url: string
  adminUrl: string
}

export interface Programs {
  /** A temporary folder for the test file; `configuration` writes into it. */
  folder: string
  /** Writes a configuration file; returns its path. */
  configuration(name: string, text: string): string
  run(args: string[], environment?: Record<string, string>): Program
  /** Runs the program until it exits. */
  result(
    args: string[],
    environment?: Record<string, string>,
  ): Promise<{ code: number | null; output: string; errors: string }>
  /** Runs the program until it reports that it is ready. */
  ready(args?: string[], environment?: Record<string, string>): Promise<Serving>
}

/**
 * Call it at the top of a test file. Programs started in a test are killed after it; those of a `beforeAll`, after the
 * file.
 */
export function programs(name: string): Programs {
  const folder = newFolder(name)
  const started: Program[] = []
  /** The number of programs before the test. */
  let shared = 0
  const killFrom = async (index: number) => {
    const killed = started.splice(index)
    for (const { child } of killed) child.kill('SIGKILL')
    await Promise.all(killed.map(({ ended }) => ended))
  }
  beforeEach(() => {
    shared = started.length
  })
  afterEach(() => killFrom(shared))
  afterAll(() => killFrom(0))

  function run(args: string[], environment: Record<string, string> = {}): Program {
    const usual = { PATH: process.env.PATH, DATABASE_URL: inject('databaseUrl'), PORT: '0', ADMIN_PORT: '0' }
    const env = { ...usual, ...environment }
    const child = recorded(spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env }))
    let [output, errors] = ['', '']
    child.stdout.on('data', (text) => (output += text))
    child.stderr.on('data', (text) => (errors += text))
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    const program = { child, output: () => output, errors: () => errors, ended }
    started.push(program)
    return program
  }

  return {
    folder,
    configuration(name, text) {
      const file = join(folder, name)
      writeFileSync(file, text)
      return file
    },
    run,
    async result(args, environment) {
      const program = run(args, environment)
      return { code: await program.ended, output: program.output(), errors: program.errors() }
    },
    async ready(args = [], environment) {
      const program = run(args, environment)
      const told = new Promise<void>((resolve) =>
        program.child.stdout.on('data', () => program.output().includes('\nTry:') && resolve()),
      )
      await Promise.race([told, program.ended])
      const address = (name: string) => {
        const [, found] = new RegExp(`^ +${name} +(\\S+)`, 'm').exec(program.output()) ?? []
        if (found === undefined) throw new Error(`It does not serve: ${program.output()}${program.errors()}`)
        return found
      }
      return { ...program, url: address('clients'), adminUrl: address('admin') }
    },
  }
}
