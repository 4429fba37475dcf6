import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { newFolder } from '../bench/servers/run-folder.ts'
import { readConfig } from '../proxy/config/load.ts'
import { answerSources } from '../proxy/sources.ts'
import { metricsOfEverything, type Series, seriesOf } from './scrape.ts'

/** Makes the engine count memory outside of its heap with the heap; the reason is in proxy/README.md. */
const engineFlag = '--external-memory-accounted-in-global-limit'
const read = (file: string) => readFileSync(new URL(`../config/deploy/${file}`, import.meta.url), 'utf8')

/** Operators and modifiers of PromQL, which are no series. A name followed by a parenthesis is a function. */
const words = new Set(['by', 'without', 'on', 'ignoring', 'and', 'or', 'unless', 'bool', 'offset'])
/** Labels, and a series, that Prometheus itself adds. */
const itsLabels = ['job', 'instance', 'le']
const itsSeries: [string, Map<string, Set<string>>] = ['up', new Map()]

/** The series, labels and label values in `expression` that no scrape has. */
function unknownIn(expression: string, scraped: Series): string[] {
  const series: Series = new Map([...scraped, itsSeries])
  const faults: string[] = []
  const used: string[] = []
  const plain = expression.replace(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
  // A string, or a name with the arguments or the label matchers after it.
  for (const [, name, follows = ''] of plain.matchAll(/"[^"]*"|([a-z_:][\w:]*)\s*(\(|\{[^}]*\})?/gi)) {
    if (name === undefined || follows === '(' || words.has(name)) continue
    const labels = series.get(name)
    if (labels === undefined) {
      faults.push(`no series ${name}`)
      continue
    }
    used.push(name)
    for (const [, label, operator, value] of follows.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)) {
      if (itsLabels.includes(label as string)) continue
      const values = labels.get(label as string)
      if (values === undefined) faults.push(`${name} has no label ${label}`)
      else if (!operator?.startsWith('!') && !matches(values, operator as string, value as string))
        faults.push(`${name} never has ${label}${operator}"${value}"`)
    }
  }
  const there = new Set([...itsLabels, ...used.flatMap((name) => [...(series.get(name)?.keys() ?? [])])])
  for (const [, group] of expression.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)) {
    for (const label of (group as string).split(',').map((one) => one.trim()))
      if (!there.has(label)) faults.push(`nothing here has a label ${label}`)
  }
  return faults
}

function matches(values: Set<string>, operator: string, wanted: string): boolean {
  if (operator === '=') return values.has(wanted)
  return [...values].some((value) => new RegExp(`^(?:${wanted})$`).test(value))
}

/** `expression` without ranges in brackets, and with the variable $instance as a pattern. */
const bare = (expression: string) => expression.replace(/\[[^\]]*\]/g, '').replaceAll('$instance', '.*')

const scraped = seriesOf(await metricsOfEverything().text())

interface Rule {
  alert: string
  expr: string
  for?: string
  labels: { severity: string }
  annotations: { summary: string; description: string; runbook: string }
}
const { groups } = parse(read('alerts.yaml')) as { groups: { name: string; rules: Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)
const dashboard = JSON.parse(read('grafana.json'))
const panels: { title: string; description: string; targets: { expr: string; legendFormat: string }[] }[] =
  dashboard.panels

describe('an alert', () => {
  test.each(rules.map((rule) => [rule.alert, rule] as const))('%s uses series that onramp has', (_name, rule) => {
    expect(unknownIn(bare(rule.expr), scraped)).toEqual([])
  })

  test('has a severity and a description, and its summary uses labels of its expression only', () => {
    for (const { alert, expr, labels, annotations } of rules) {
      expect(['critical', 'warning']).toContain(labels.severity)
      expect(annotations.description.length, alert).toBeGreaterThan(20)
      for (const [, label] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) {
        const isGrouped = /\bby \(/.test(expr)
        const known = isGrouped ? new RegExp(`by \\([^)]*\\b${label}\\b`).test(expr) : isLabelOf(expr, label as string)
        expect(known, `${alert}: ${label}`).toBe(true)
      }
    }
  })

  test('exists for each condition that needs a person', () => {
    expect(rules.map(({ alert }) => alert)).toEqual([
      'OnrampDown',
      'OnrampErrors',
      'OnrampStaleOnly',
      'OnrampShedding',
      'OnrampBreakerOpen',
      'OnrampMemoryOnly',
      'OnrampInvalidationsLate',
      'OnrampInvalidationsUnverified',
      'OnrampAuditMismatch',
      'OnrampOverloaded',
    ])
  })

  test('of a bypassed tier names no particular tier', () => {
    const told = rules.find(({ alert }) => alert === 'OnrampMemoryOnly')?.annotations
    expect(told?.summary).not.toContain('Redis')
    expect(told?.description).toContain('degradationReason in /stats')
  })

  const isLabelOf = (expr: string, label: string) =>
    itsLabels.includes(label) || [...scraped].some(([name, labels]) => expr.includes(name) && labels.has(label))
})

/** The sections of a document at `level`, by their headings. */
function sectionsOf(document: string, level: number): Map<string, string> {
  const heading = new RegExp(`^${'#'.repeat(level)} (.+)$`, 'm')
  const end = new RegExp(`^#{1,${level}} `, 'm')
  const sections = new Map<string, string>()
  for (let rest = document; ; ) {
    const found = heading.exec(rest)
    if (found === null) return sections
    rest = rest.slice(found.index + found[0].length)
    const next = end.exec(rest)
    sections.set(found[1] as string, rest.slice(0, next?.index))
  }
}

test('a section ends where another of its level, or of a higher one, begins', () => {
  const document = '## One\n### a\ntext\n### b\n#### c\n## Two\n### d\n'
  expect([...sectionsOf(document, 3)]).toEqual([
    ['a', '\ntext\n'],
    ['b', '\n#### c\n'],
    ['d', '\n'],
  ])
})

describe('the runbook', () => {
  const runbook = read('README.md')
  const ofAlerts = sectionsOf(sectionsOf(runbook, 2).get('Alerts') ?? '', 3)

  test('has one section for each alert, in their order, and no other', () => {
    expect([...ofAlerts.keys()]).toEqual(rules.map(({ alert }) => alert))
  })

  test.each([...ofAlerts])(
    '%s: meaning, check with a command, action, and when to wake someone, in this order',
    (_alert, text) => {
      const parts = [...text.matchAll(/^\*\*([\w ]+?)\.?\*\*/gm)].map(([, part]) => part)
      expect(parts).toEqual(['Meaning', 'Check', 'Action', 'Wake someone'])
      const check = text.slice(text.indexOf('**Check'), text.indexOf('**Action'))
      expect(check).toMatch(/^ {4}\$ /m)
    },
  )

  test.each([...sectionsOf(sectionsOf(runbook, 2).get('Symptoms') ?? '', 3)])(
    '%s: symptom, check, action',
    (_symptom, text) => {
      const parts = [...text.matchAll(/^\*\*(\w+)\.\*\*/gm)].map(([, part]) => part)
      expect(parts).toEqual(['Symptom', 'Check', 'Action'])
    },
  )

  test('is linked from each alert, at its section', () => {
    for (const { alert, annotations } of rules)
      expect(annotations.runbook).toBe(`config/deploy/README.md#${alert.toLowerCase()}`)
  })

  test('names only metrics that exist', () => {
    const outside = runbook.replace(/<!-- metrics -->[\s\S]*<!-- \/metrics -->/, '')
    const names = [...new Set(outside.match(/\bonramp_[a-z_]+[a-z]\b/g))]
    expect(names.length).toBeGreaterThan(8)
    const known = [...scraped.keys()].map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
    expect(names.filter((name) => !known.includes(name))).toEqual([])
  })
})

describe('the Grafana dashboard', () => {
  const targets = panels.flatMap(({ title, targets }) => targets.map((target) => [title, target] as const))
  test.each(targets)('%s uses series that onramp has', (_title, { expr }) => {
    expect(unknownIn(bare(expr), scraped)).toEqual([])
  })

  test('counts an added tier as a hit, and among the answers', () => {
    const sources = answerSources(['memory', 'redis', 'file'].map((name) => ({ name, label: name })))
    const hits = sources.filter(({ isHit }) => isHit).map(({ name }) => name)
    const counted = new Map(
      targets.map(([title, { expr }]) => [
        title,
        [...expr.matchAll(/\bsource(=~|!~)"([^"]*)"/g)].map(([, operator, pattern]) =>
          sources
            .map(({ name }) => name)
            .filter((name) => new RegExp(`^(?:${pattern})$`).test(name) === (operator === '=~')),
        ),
      ]),
    )
    expect(counted.get('Hit ratio')).toEqual([hits, [...hits, 'origin']])
    expect(counted.get('SQL saved')).toEqual([[...hits, 'origin']])
  })

  test('groups by the labels of its legends, has unique titles, and has variables for source and instance', () => {
    for (const [title, { expr, legendFormat }] of targets) {
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect(expr, title).toMatch(new RegExp(`by \\([^)]*\\b${label}\\b`))
    }
    const names = dashboard.templating.list.map(({ name }: { name: string }) => name)
    expect(names).toEqual(['datasource', 'instance'])
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
  })
})

describe('twins', () => {
  test.each([
    ['onramp_respones_total', ['no series onramp_respones_total']],
    ['rate(onramp_shed_total{rout="plan"}[5m])', ['onramp_shed_total has no label rout']],
    ['sum by (raute) (rate(onramp_shed_total[5m]))', ['nothing here has a label raute']],
    ['onramp_pool_connections{state="stuck"} == 1', ['onramp_pool_connections never has state="stuck"']],
    ['sum(onramp_response_seconds) > bool 0', ['no series onramp_response_seconds']],
    [
      'histogram_quantile(0.9, sum by (le) (rate(onramp_response_seconds_buckets[5m])))',
      ['no series onramp_response_seconds_buckets'],
    ],
    ['up{job="onramp"} == 0 or onramp_evictions_total', []],
  ])('%s: %j', (expression, faults) => {
    expect(unknownIn(bare(expression), scraped)).toEqual(faults)
  })
})

describe('the Kubernetes manifest', () => {
  const folder = newFolder('deploy')
  const documents = parseAllDocuments(read('kubernetes.yaml'))
  const kinds = new Map(documents.map((document) => [document.toJS().kind as string, document.toJS()]))
  const pod = kinds.get('Deployment').spec.template.spec
  const [onramp, web] = pod.containers
  const file = join(folder, 'onramp.yaml')
  writeFileSync(file, kinds.get('ConfigMap').data['onramp.yaml'])
  const config = readConfig(file, { DATABASE_URL: 'postgres://u@h/d', ADMIN_TOKEN: '12345678' })
  const portOf = (name: string) => onramp.ports.find((port: { name: string }) => port.name === name).containerPort

  test('is valid YAML, and onramp accepts the configuration in it', () => {
    expect(documents.flatMap(({ errors }) => errors)).toEqual([])
    expect([...kinds.keys()]).toEqual(['ConfigMap', 'Deployment', 'Service', 'NetworkPolicy'])
    expect([config.listen.port, config.admin.port]).toEqual([portOf('http'), portOf('admin')])
    expect(config.redis.url).toBeUndefined()
    expect(onramp.args).toEqual(['--config', `${onramp.volumeMounts[0].mountPath}/onramp.yaml`])
  })

  test('probes /live and /ready at an address that the kubelet can reach', () => {
    const probe = (path: string) => ({ path, port: 'admin' })
    expect(onramp.livenessProbe.httpGet).toEqual(probe('/live'))
    expect(onramp.readinessProbe.httpGet).toEqual(probe('/ready'))
    expect(onramp.startupProbe.httpGet).toEqual(probe('/ready'))
    expect(config.admin.host).toBe('0.0.0.0')
    expect(config.admin.token).toBeDefined()
  })

  test('gives onramp enough time to drain, and the upstream more', () => {
    const drainSeconds = onramp.lifecycle.preStop.sleep.seconds + config.limits.drainTimeout / 1000
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds)
    expect(web.lifecycle.preStop.sleep.seconds).toBeGreaterThan(drainSeconds)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(web.lifecycle.preStop.sleep.seconds)
  })

  test('runs onramp without privileges or writable files, with its secrets from a secret', () => {
    expect(onramp.securityContext).toMatchObject({
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    })
    const named: { name: string; valueFrom: object }[] = onramp.env
    expect(named.every(({ valueFrom }) => 'secretKeyRef' in valueFrom)).toBe(true)
    const asked = [...kinds.get('ConfigMap').data['onramp.yaml'].matchAll(/\$\{(\w+)/g)].map(([, name]) => name)
    expect(asked.sort()).toEqual(named.map(({ name }) => name).sort())
    expect(Number.parseInt(onramp.resources.limits.memory, 10) * 1024 ** 2).toBeGreaterThan(2 * config.memory.maxBytes)
  })
})

test('every way to start onramp passes the same engine flag and allocator setting, which this Node.js knows', () => {
  const here = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  const allocator = 'MALLOC_MMAP_THRESHOLD_=131072'
  expect(JSON.parse(here('package.json')).scripts.start).toBe(
    `exec env ${allocator} NODE_COMPILE_CACHE=.data/compiled node ${engineFlag} proxy/main.ts`,
  )
  expect(here('Dockerfile')).toContain(`\nENV ${allocator}\n`)
  expect(here('Dockerfile')).toContain(`\nENTRYPOINT ["node", "${engineFlag}", "proxy/main.ts"]\n`)
  expect(read('onramp.service')).toContain(`\nEnvironment=NODE_ENV=production ${allocator}\n`)
  expect(execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' })).toContain(`\n  ${engineFlag} `)
})

describe('the systemd unit', () => {
  const settings = new Map(
    [...read('onramp.service').matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  )

  test('starts the program, gives it time to drain, and reads its secrets from a file', () => {
    expect(settings.get('ExecStart')).toBe(
      `/usr/bin/node ${engineFlag} /opt/onramp/proxy/main.ts --config /etc/onramp/onramp.yaml`,
    )
    const shipped = readConfig(new URL('../config/onramp.yaml', import.meta.url).pathname, {})
    expect(Number(settings.get('TimeoutStopSec'))).toBeGreaterThan(shipped.limits.drainTimeout / 1000)
    expect(settings.get('EnvironmentFile')).toBe('/etc/onramp/environment')
  })

  test('runs onramp without privileges or writable files, but allows the code that its engine compiles', () => {
    expect([settings.get('DynamicUser'), settings.get('NoNewPrivileges')]).toEqual(['yes', 'yes'])
    expect([settings.get('ProtectSystem'), settings.get('CapabilityBoundingSet')]).toEqual(['strict', ''])
    expect(settings.has('MemoryDenyWriteExecute')).toBe(false)
  })
})
