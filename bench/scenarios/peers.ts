import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answersFile, type Kept, keep } from '../answers.ts'
import { load } from '../load.ts'
import { childrenOf, cpuSecondsOf } from '../proc.ts'
import { pinThis, type Served, which } from '../processes.ts'
import { type Context, duration, type Outcome, percent, rounded, type Scenario, times } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { newFolder } from '../servers/run-folder.ts'
import { searches } from '../shoppers.ts'
import { compare, interleaved, medianOf, spreadOf } from '../variants.ts'

const connections = 32
const core = 1

export const peers: Scenario = {
  name: 'peers',
  question:
    'What does a hit cost in nginx (proxy_cache), Varnish and a cache in the handler (bentocache), with the same answers and traffic?',
  async run(context) {
    const { stage, isQuick, note, seed } = context
    const paths = [...new Set(searches(stage.popularity, seed, 200))]
    const servers: Record<string, Served> = { onramp: await stage.onramp({ core }) }
    const { url } = servers.onramp as Served
    const kept: Kept[] = []
    for (const path of paths) kept.push(await keep(url, path))
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    const origin = await stage.processes.node('./servers/bare.ts', [answersFile(kept.map(cacheable))])
    for (const [name, start] of [
      ['nginx', nginx],
      ['varnish', varnish],
    ] as const) {
      const started = await start(context, origin.url)
      if (started === undefined)
        outcome.notes.push(`${name} was not measured: it is not installed (apt-get install ${name}).`)
      else servers[name] = started
    }
    const sql = fileURLToPath(new URL('../../config/marketplace/queries/plan-search.sql', import.meta.url))
    servers.bentocache = await stage.processes.node('./servers/bento.ts', [stage.databaseUrl, sql], { core })

    const names = Object.keys(servers)
    const ask = (connection: number) => paths.slice(connection).concat(paths.slice(0, connection))
    pinThis(0)
    for (const name of names) {
      note(`${name}: warm`)
      for (const path of paths) await same(servers[name] as Served, path, name)
      await load((servers[name] as Served).url, { connections, seconds: 1, paths: ask })
    }
    note(`${names.join(', ')}, in turn`)
    const count = isQuick ? 3 : 5
    const measured = await interleaved(names, count, async (name) => {
      const served = servers[name] as Served
      const before = cpuOf(served)
      const seen = await load(served.url, { connections, seconds: 1, paths: ask })
      return {
        perSecond: seen.perSecond,
        cpuMs: ((cpuOf(served) - before) / seen.count) * 1000,
        p99: seen.percentile(0.99),
        failed: seen.failed,
        generatorCpu: seen.generatorCpu,
      }
    })
    const rounds = (name: string) => measured[name] as NonNullable<(typeof measured)[string]>
    outcome.tables.push({
      title: `Hits on one core, ${paths.length} answers of about 2 KB`,
      head: ['cache', 'requests/s', 'spread', 'CPU per request', 'CPU spread', 'p99', 'failed', 'load generator CPU'],
      rows: names.map((name) => [
        name,
        rounded(medianOf(rounds(name), (one) => one.perSecond)),
        percent(spreadOf(rounds(name), (one) => one.perSecond)),
        duration(medianOf(rounds(name), (one) => one.cpuMs)),
        percent(spreadOf(rounds(name), (one) => one.cpuMs)),
        duration(medianOf(rounds(name), (one) => one.p99)),
        rounds(name).reduce((sum, one) => sum + one.failed, 0),
        percent(medianOf(rounds(name), (one) => one.generatorCpu)),
      ]),
    })
    for (const name of names.slice(1)) {
      const share = compare(rounds('onramp'), rounds(name), (one) => one.perSecond)
      const cpu = compare(rounds('onramp'), rounds(name), (one) => one.cpuMs)
      outcome.claims.push({
        id: name,
        measure: `Hit in onramp, compared with ${name}`,
        measured: `${times(share, ' its throughput')}, ${times(cpu, ' its CPU per request')}`,
        value: cpu.value,
      })
    }
    outcome.charts.push({
      title: 'CPU of a hit, by cache',
      kind: 'bars',
      x: '',
      y: 'µs of CPU per request',
      series: [{ name: 'CPU', points: names.map((name, i) => [i, medianOf(rounds(name), (one) => one.cpuMs * 1000)]) }],
      marks: names.map((label, x) => ({ x, label })),
    })
    outcome.notes.push(
      `${count} rounds of one second for each cache. More throughput is better, and less CPU per request.`,
      'nginx and Varnish cache by URL and know neither parameters nor tables. The same household in another order is another entry, and a changed row shows only after a timeout.',
      'nginx runs with proxy_cache, one worker and sendfile. It opens a file on disk for each hit. This is not nginx at its best: open_file_cache and files in memory save CPU, and are not measured here.',
      'bentocache caches rows and serializes them for every answer, as in its documentation.',
    )
    return outcome
  },
}

/** Adds the Cache-Control that nginx and Varnish need to cache the answer. */
function cacheable({ headers, ...kept }: Kept): Kept {
  const { vary: _vary, ...rest } = headers
  return { ...kept, headers: { ...rest, 'cache-control': 'max-age=3600' } }
}

/** Throws unless a peer answers with a list of plans. */
async function same(served: Served, path: string, name: string): Promise<void> {
  const response = await fetch(served.url + path)
  const text = await response.text()
  if (!response.ok || !text.startsWith('[')) throw new Error(`${name} answers ${path} with ${response.status}.`)
}

/** CPU seconds of a program and its children. */
function cpuOf({ pid }: Served): number {
  return [pid, ...childrenOf(pid)].reduce((sum, one) => sum + cpuSecondsOf(one), 0)
}

async function nginx({ stage }: Context, originUrl: string): Promise<Served | undefined> {
  const program = which('nginx')
  if (program === undefined) return undefined
  const [folder, port] = [newFolder('nginx'), await freePort()]
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr error; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; tcp_nodelay on; sendfile on; ${paths.join(' ')}
  proxy_cache_path ${folder}/cache keys_zone=answers:16m max_size=256m inactive=1h;
  upstream origin { server ${new URL(originUrl).host}; keepalive 16; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache answers; proxy_cache_lock on; proxy_cache_valid 200 1h;
    }
  }
}
`,
  )
  const answersAt = `http://127.0.0.1:${port}`
  return stage.processes.program(program, ['-p', folder, '-c', join(folder, 'nginx.conf')], { answersAt, core })
}

async function varnish({ stage }: Context, originUrl: string): Promise<Served | undefined> {
  const program = which('varnishd')
  if (program === undefined) return undefined
  const [folder, port] = [newFolder('varnish'), await freePort()]
  const args = ['-F', '-j', 'none', '-n', folder, '-a', `127.0.0.1:${port}`, '-b', new URL(originUrl).host]
  const answersAt = `http://127.0.0.1:${port}`
  return stage.processes.program(program, [...args, '-s', 'malloc,256m', '-p', 'thread_pools=1'], { answersAt, core })
}
