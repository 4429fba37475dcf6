// The certificate of the public listener, read anew when its files change.
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { Observe } from '../observation.ts'

/** Paths of PEM files. */
export interface Certificate {
  cert: string
  key: string
}

/** How often the files are looked at. By their time and size, not by events: a mounted secret is swapped by a symbolic link. */
const lookEveryMs = 2000

/** What a server takes of `certificate`. Throws what is wrong with its files. */
export function secureOptions({ cert, key }: Certificate): { cert: Buffer; key: Buffer; minVersion: 'TLSv1.2' } {
  const contents = { cert: readFileSync(cert), key: readFileSync(key) }
  createSecureContext(contents)
  return { ...contents, minVersion: 'TLSv1.2' }
}

/** Has `server` take the files of `certificate` whenever they change, until it closes. Files that do not fit are refused and observed. */
export function followCertificate(server: Server, certificate: Certificate, observe: Observe): void {
  const take = () => {
    try {
      server.setSecureContext(secureOptions(certificate))
      observe({ kind: 'certificate', outcome: 'taken' })
    } catch (error) {
      // Also when only one of the two has been replaced yet: the other's change comes here again.
      observe({ kind: 'certificate', outcome: 'refused', error })
    }
  }
  const files = [certificate.cert, certificate.key]
  for (const file of files) watchFile(file, { interval: lookEveryMs, persistent: false }, take)
  server.on('close', () => {
    for (const file of files) unwatchFile(file, take)
  })
}
