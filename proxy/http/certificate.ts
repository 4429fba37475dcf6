// The certificate of the public listener, reloaded when its files change.
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { Observe } from '../observation.ts'

/** Paths of PEM files. */
export interface Certificate {
  cert: string
  key: string
}

/**
 * Interval between checks of the files. By their time and size, not by events: a mounted secret is swapped by a
 * symbolic link.
 */
const lookEveryMs = 2000

/** The TLS options of a server with `certificate`. Throws an error if its files are invalid. */
export function secureOptions({ cert, key }: Certificate): { cert: Buffer; key: Buffer; minVersion: 'TLSv1.2' } {
  const contents = { cert: readFileSync(cert), key: readFileSync(key) }
  createSecureContext(contents)
  return { ...contents, minVersion: 'TLSv1.2' }
}

/**
 * Reloads the files of `certificate` into `server` when they change, until it closes. Files that do not match are
 * rejected and observed.
 */
export function followCertificate(server: Server, certificate: Certificate, observe: Observe): void {
  const take = () => {
    try {
      server.setSecureContext(secureOptions(certificate))
      observe({ kind: 'certificate', outcome: 'taken' })
    } catch (error) {
      // Also happens while only one of the two files has been replaced: the change of the other triggers a reload.
      observe({ kind: 'certificate', outcome: 'refused', error })
    }
  }
  const files = [certificate.cert, certificate.key]
  for (const file of files) watchFile(file, { interval: lookEveryMs, persistent: false }, take)
  server.on('close', () => {
    for (const file of files) unwatchFile(file, take)
  })
}
