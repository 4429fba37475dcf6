// The schema of the sections about HTTP: listeners, limits of clients, the upstream, CORS.
import { z } from 'zod'
import { flag, integer, size, wait } from './scalars.ts'

const port = integer(0, 65_535)
const host = z
  .string()
  .min(1)
  .regex(/^(?!unix:)|^unix:\/./, { error: 'is not an address: write a host, or unix:/ and the path of a socket' })
export const httpSections = {
  listen: z
    .strictObject({
      host: host
        .default('127.0.0.1')
        .describe(
          'Address that clients connect to, or `unix:/run/onramp.sock`. Set `0.0.0.0` to serve other machines.',
        ),
      port: port
        .prefault(8080)
        .describe('TCP port for clients; `0` takes any free one. If it is taken, the start fails.'),
      reusePort: flag
        .optional()
        .describe(
          '`true` lets several processes serve this port (Linux spreads connections over them). Set it to use several cores.',
        ),
      tls: z
        .strictObject({ cert: z.string().min(1), key: z.string().min(1) })
        .optional()
        .describe('`{ cert, key }`: PEM files for HTTPS, relative to this file. They are read again when they change.'),
    })
    .prefault({}),
  admin: z
    .strictObject({
      host: host
        .default('127.0.0.1')
        .describe('Address of probes, metrics and purges. Beyond loopback, `admin.token` is required.'),
      port: port
        .prefault(9090)
        .describe('TCP port of the admin listener; `0` takes any free one. If it is taken, the start fails.'),
      token: z
        .string()
        .min(8, { error: 'must have at least 8 characters' })
        .optional()
        .describe(
          'Secret of at least 8 characters. Every POST to the admin listener then needs `Authorization: Bearer` with it, else 401.',
        ),
    })
    .prefault({}),
  limits: z
    .strictObject({
      maxConnections: integer(1, 1_000_000)
        .prefault(10_000)
        .describe('Most client connections; further ones are closed at once. The limit of open files must allow them.'),
      maxRequests: integer(0, 1_000_000)
        .prefault(10_000)
        .describe(
          'Most requests on one client connection, which then closes; `0` is no limit. Lower it to spread clients over new processes sooner.',
        ),
      maxHeader: size({
        allows: (bytes) => bytes >= 1024 && bytes <= 1024 ** 2,
        error: 'must lie between 1KiB and 1MiB',
      })
        .prefault('16KiB')
        .describe(
          'Largest header section, target included: of a request, else 431; of an answer of the upstream, else 502.',
        ),
      headerTimeout: wait
        .prefault('10s')
        .describe('Longest time in which a header section, or the body of a POST to a route, must arrive; else 408.'),
      idleTimeout: wait
        .prefault('2m')
        .describe(
          'Longest silence while a request or a WebSocket is open; then the connection is closed. A client that does not read has twice as long.',
        ),
      keepAliveTimeout: wait
        .prefault('65s')
        .describe(
          'Longest time that a client connection stays open without a request. Keep it above the timeout of a load balancer in front.',
        ),
      drainTimeout: wait
        .prefault('25s')
        .describe(
          'After SIGTERM, running requests may take this long, then they are cut. Keep it below the grace period of your orchestrator.',
        ),
    })
    .prefault({}),
  upstream: z
    .strictObject({
      url: z
        .string()
        .regex(/^https?:\/\/[^/?#@]+\/?$|^unix:\/./, {
          error: 'is not an address like http://127.0.0.1:3000 or unix:/run/web.sock, without a path',
        })
        .optional()
        .describe(
          'Upstream (the web tier) that gets every request that no route answers: `http://`, `https://` or `unix:`. Without it, those get 404.',
        ),
      maxRequests: integer(1, 100_000)
        .prefault(1000)
        .describe(
          'Most requests at the upstream at once; further ones get 503. Set it to the load that the upstream can take.',
        ),
      connectTimeout: wait.prefault('2s').describe('Longest wait for a connection to the upstream; then 504.'),
      firstByteTimeout: wait
        .prefault('60s')
        .describe('Longest wait for the upstream to begin its answer; then 504. Raise it for slow pages.'),
      trustedProxies: z
        .array(z.string().min(1))
        .default([])
        .describe(
          'Addresses or networks (`10.0.0.0/8`) of proxies in front. Only from these are `X-Forwarded-*` and `Forwarded` kept and extended.',
        ),
    })
    .prefault({}),
  cors: z
    .strictObject({
      origins: z
        .array(
          z.string().regex(/^\*$|^https?:\/\/[^/]+$/, {
            error: 'is not an origin: write https://example.org, without a path, or *',
          }),
        )
        .default([])
        .describe(
          'Origins whose pages may read the routes from a browser; `*` allows any. Answers of the upstream are not changed.',
        ),
    })
    .prefault({}),
}
