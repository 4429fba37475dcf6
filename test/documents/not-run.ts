/** Commands of the documents that no test runs, and why. A pattern that no document has any more fails the test. */
export const notRun: readonly { pattern: RegExp; reason: string }[] = [
  { pattern: /^docker /, reason: 'Tests have no container engine.' },
  { pattern: /^kubectl /, reason: 'Tests have no cluster.' },
  { pattern: /^systemctl /, reason: 'Tests never start systemd.' },
  { pattern: /^npm ci$/, reason: 'It would replace the dependencies that the tests run on.' },
  { pattern: /^npm start$/, reason: 'The test starts the same program itself, on free ports.' },
  { pattern: /^npm run test:fast$/, reason: 'A test run does not start another.' },
  { pattern: /^npm run bench -- (?!--help)/, reason: 'A benchmark needs the machine to itself.' },
  { pattern: /^onramp /, reason: 'A checkout has no installed command. config/README.md runs the same by npm start.' },
]
