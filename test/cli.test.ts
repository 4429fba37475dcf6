import { expect, test } from 'vitest'
import { commands, readArguments, usage } from '../proxy/cli.ts'

test.each(commands)('the command %s is accepted, and listed in the usage', (name) => {
  expect(readArguments([name], 'x.yaml')).toMatchObject({ name, config: 'x.yaml' })
  expect(usage('1.2.3')).toMatch(new RegExp(`^  onramp \\[?${name}\\b`, 'm'))
})

test('no command means serve; an unknown command is refused, with the nearest one suggested', () => {
  expect(readArguments([], 'x.yaml').name).toBe('serve')
  for (const name of commands)
    expect(() => readArguments([`${name}x`], 'x.yaml')).toThrow(`Unknown command ${name}x; did you mean ${name}?`)
})
