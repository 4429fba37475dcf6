/** A command that a document shows after `$ `, and the lines that it shows as printed below. */
export interface ShownCommand {
  kind: 'command'
  /** Of the document, from 1. */
  line: number
  command: string
  printed: string[]
}

/** A file that a document has its reader save. */
export interface ShownFile {
  kind: 'file'
  line: number
  path: string
  text: string
}

export type Step = ShownCommand | ShownFile

const saves = /Save this as `([^`]+)`:$/

/**
 * The steps of a document, in its order. A file is a fenced block below a line that ends with "Save this as `path`:".
 *
 * A command is a line that begins with `$ ` in a fenced block, or is indented by at least four spaces; with a backslash at its end it
 * continues on the next line. Below it stands what it prints: up to the next command, the end of the block, or in an indented block
 * an empty line.
 */
export function stepsOf(document: string): Step[] {
  const lines = document.split('\n')
  const steps: Step[] = []
  let fence: string | undefined
  let command: (ShownCommand & { indentation: number }) | undefined
  for (let i = 0; i < lines.length; i += 1) {
    const text = lines[i] ?? ''
    const opening = /^ *(`{3,})/.exec(text)?.[1]
    if (opening !== undefined) {
      const path = fence === undefined ? savedAs(lines, i) : undefined
      if (path !== undefined) {
        const end = lines.findIndex((line, n) => n > i && line.trim() === opening)
        if (end < 0) throw new Error(`Line ${i + 1}: the file ${path} has no end.`)
        steps.push({ kind: 'file', line: i + 1, path, text: unindented(lines.slice(i + 1, end)) })
        i = end
      } else fence = fence === undefined ? opening : undefined
      command = undefined
      continue
    }
    const [, indentation = '', shown] = /^( *)\$ (.*)$/.exec(text) ?? []
    if (shown !== undefined && (fence !== undefined || indentation.length >= 4)) {
      command = { kind: 'command', line: i + 1, command: shown, printed: [], indentation: indentation.length }
      while (command.command.endsWith('\\')) {
        i += 1
        command.command += `\n${lines[i] ?? ''}`
      }
      steps.push(command)
    } else if (command !== undefined) {
      const isEnd = fence === undefined && text.search(/\S/) < command.indentation
      if (isEnd) command = undefined
      else command.printed.push(text.slice(command.indentation))
    }
  }
  return steps
}

/** The path under which the block that opens at line `i` is to be saved. */
function savedAs(lines: readonly string[], i: number): string | undefined {
  const before = lines[i - 1]?.trim() === '' ? lines[i - 2] : lines[i - 1]
  return saves.exec(before?.trim() ?? '')?.[1]
}

function unindented(lines: readonly string[]): string {
  const indentation = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)))
  return lines.map((line) => `${line.slice(indentation)}\n`).join('')
}

/**
 * Whether `output` is what `printed` shows. `…` stands for anything within a line, and alone in its line for any lines. Times to live,
 * positions in the log, empty lines, and the two lines with which npm names its script do not count.
 */
export function isShown(output: string, printed: readonly string[]): boolean {
  const pattern = comparable(printed.join('\n')).map((line) =>
    line === '…' ? '(?:.*\n)*' : `${line.split('…').map(RegExp.escape).join('.*')}\n`,
  )
  const lines = comparable(output).map((line) => `${line}\n`)
  return new RegExp(`^${pattern.join('')}$`).test(lines.join(''))
}

function comparable(text: string): string[] {
  return text
    .replaceAll('\r', '')
    .replaceAll(/ttl=-?\d+/g, 'ttl=…')
    .replaceAll(/"position":"\d+:\w{16}"/g, '"position":"…"')
    .replaceAll(/^> (onramp@|exec ).*$/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
