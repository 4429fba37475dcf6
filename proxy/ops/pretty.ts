// A line of the log formatted for a terminal.
const levels: Record<number, [name: string, colour: number]> = {
  10: ['trace', 90],
  20: ['debug', 90],
  30: ['info', 32],
  40: ['warn', 33],
  50: ['error', 31],
  60: ['fatal', 31],
}

/**
 * Formats a line of the log (JSON, written by pino) for a terminal: time of the day, level, sentence, then each field by name.
 *
 * Control characters in values are escaped, so that no value can control the terminal. A line that is not JSON stays unchanged.
 */
export function prettyLine(line: string): string {
  const fields = fieldsOf(line)
  if (fields === undefined) return line // not the logger's
  const { level, time, msg, ...rest } = fields
  const [name, colour] = levels[Number(level)] ?? [String(level), 0]
  const clock = new Date(Number(time)).toTimeString().slice(0, 8)
  const details = Object.entries(rest).map(([key, value]) => ` ${grey(`${key}=`)}${shown(value)}`)
  return `${grey(clock)} \x1b[${colour}m${name.padEnd(5)}\x1b[0m ${msg}${details.join('')}\n`
}

function fieldsOf(line: string): Record<string, unknown> | undefined {
  try {
    const fields: unknown = JSON.parse(line)
    return typeof fields === 'object' && fields !== null ? { ...fields } : undefined
  } catch {
    return undefined
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@%+-]+$/.test(value)) return value
  const text = JSON.stringify(value) // escapes control characters below the space
  return text.replace(/[\x7f-\x9f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`)
}

function grey(text: string): string {
  return `\x1b[90m${text}\x1b[0m`
}
