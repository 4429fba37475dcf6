// Prints how many files each exercise changes by hand: node test/structure/exercises/run.ts [root of the tree]
import { fileURLToPath } from 'node:url'
import { exercises } from './all.ts'
import { tryExercise } from './exercise.ts'

const [root = fileURLToPath(new URL('../../../', import.meta.url))] = process.argv.slice(2)
for (const exercise of exercises) {
  const { title, mostFiles } = exercise
  try {
    const { files, faults } = await tryExercise(exercise, root)
    if (faults.length > 0 || files.length > mostFiles) process.exitCode = 1
    process.stdout.write(`${title}: ${files.length} of at most ${mostFiles} files: ${files.join(', ')}\n`)
    for (const fault of faults) process.stdout.write(`${fault}\n`)
  } catch (error) {
    process.exitCode = 1
    process.stdout.write(`${title}: ${error}\n`)
  }
}
