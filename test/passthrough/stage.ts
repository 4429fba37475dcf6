// A scripted upstream, with onramp in front of it.
import { afterAll, afterEach, beforeAll, inject, onTestFinished } from 'vitest'
import type { Config } from '../../proxy/config/schema.ts'
import { type Running, startApp } from '../live.ts'
import { askOnce, type WireAnswer, WireClient } from '../wire/client.ts'
import { requestOf } from '../wire/messages.ts'
import { type Script, ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { within } from '../wire/within.ts'

export interface Pair {
  upstream: ScriptedUpstream
  app: Running
}

/** One pair for all tests of a file. */
export function passthroughStage(): Stage {
  const stage = new Stage()
  beforeAll(() => stage.start())
  afterEach(() => WireClient.closeAll())
  afterAll(() => stage.stop())
  return stage
}

export class Stage {
  #pair: Pair | undefined
  #targets = 0

  get upstream(): ScriptedUpstream {
    return this.#started.upstream
  }

  get app(): Running {
    return this.#started.app
  }

  get #started(): Pair {
    if (this.#pair === undefined) throw new Error('It has not been started.')
    return this.#pair
  }

  async start(): Promise<void> {
    const upstream = await ScriptedUpstream.start()
    this.#pair = { upstream, app: await startApp(inject('databaseUrl'), { UPSTREAM_URL: upstream.url }) }
  }

  async stop(): Promise<void> {
    await stopApp(this.app)
    await this.upstream.stop()
  }

  /**
   * A pair of the test's own, with `change` applied to its configuration. `path`: the socket on which the upstream
   * listens.
   */
  async pair(change: (config: Config) => Config = (config) => config, path?: string): Promise<Pair> {
    const upstream = await ScriptedUpstream.start(path)
    onTestFinished(() => upstream.stop())
    const app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: upstream.url }, change)
    onTestFinished(() => stopApp(app))
    return { upstream, app }
  }

  /** A target not requested before. */
  fresh(): string {
    this.#targets += 1
    return `/page/${this.#targets}`
  }

  /** Sends a request with `method` that the upstream answers with `says`, over a connection of its own. */
  async answerTo(method: string, says: Script, { upstream, app }: Pair = this): Promise<WireAnswer> {
    const target = this.fresh()
    upstream.script(target, says)
    return askOnce(app.url, requestWith(method, target))
  }
}

/** Stops `app`; a connection that it failed to close would prevent that. */
export function stopApp(app: Running): Promise<void> {
  return within(app.stop(), 'the end of onramp')
}

/** Changes of `upstream` and `limits` in a configuration. */
export function changed(upstream: Partial<Config['upstream']>, limits: Partial<Config['limits']> = {}) {
  return (config: Config): Config => ({
    ...config,
    upstream: { ...config.upstream, ...upstream },
    limits: { ...config.limits, ...limits },
  })
}

/** A request with `method`, with content where that is usual. */
export function requestWith(method: string, target: string, fields: readonly string[] = []): string {
  const content = ['POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? 'content' : undefined
  return requestOf(method, target, fields, content)
}

/** A request for a WebSocket. */
export function handshake(target: string): string {
  const key = ['Sec-WebSocket-Key: YQ==', 'Sec-WebSocket-Version: 13']
  return requestOf('GET', target, ['Connection: Upgrade', 'Upgrade: websocket', ...key])
}
