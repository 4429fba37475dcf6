import { expect, test } from 'vitest'
import { commands, readArguments, usage } from '../proxy/cli.ts'

test.each(commands)('the command %s is understood, and told in the usage', (name) => {
  expect(readArguments([name], 'x.yaml')).toMatchObject({ name, config: 'x.yaml' })
  expect(usage('1.2.3')).toMatch(new RegExp(`^  onramp \\[?${name}\\b`, 'm'))
})

test('without a command it serves; another word is refused with the nearest command', () => {
  expect(readArguments([], 'x.yaml').name).toBe('serve')
  for (const name of commands)
    expect(() => readArguments([`${name}x`], 'x.yaml')).toThrow(`Unknown command ${name}x; did you mean ${name}?`)
})
