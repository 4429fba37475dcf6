/** Commands of the documents that no test runs, and why. A pattern that no document has any more fails the test. */
export const notRun: readonly { pattern: RegExp; reason: string }[] = []
