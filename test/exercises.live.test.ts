import { fileURLToPath } from 'node:url'
import { expect, inject, test } from 'vitest'
import { exercises } from './structure/exercises/all.ts'
import { tryExercise } from './structure/exercises/exercise.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

test.each(exercises.map((exercise) => [exercise.title, exercise.mostFiles, exercise] as const))(
  'adding %s changes at most %i files by hand',
  { timeout: 120_000 },
  async (_title, mostFiles, exercise) => {
    const environment = { ...process.env, DATABASE_URL: inject('databaseUrl') }
    const { files, faults } = await tryExercise(exercise, root, environment)
    expect(faults).toEqual([])
    expect(files.length, files.join(', ')).toBeLessThanOrEqual(mostFiles)
  },
)
