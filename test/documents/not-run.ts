/** Commands of the documents that no test runs, and why. A pattern that no document has any more fails the test. */
export const notRun: readonly { pattern: RegExp; reason: string }[] = [
  { pattern: /^docker /, reason: 'Tests have no container engine.' },
  { pattern: /^kubectl /, reason: 'Tests have no cluster.' },
  { pattern: /^systemctl /, reason: 'Tests never start systemd.' },
]
