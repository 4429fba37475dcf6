import { legend, svg } from './chart.ts'
import { escapeHtml } from './html.ts'
import {
  causeOf,
  type Finished,
  goal,
  inShort,
  isMissed,
  type Judged,
  machineLine,
  type Results,
  targetsOf,
  verdict,
  withoutTarget,
} from './report.ts'
import type { Chart, Claim, Table } from './scenario.ts'

/** A run as one HTML file without external resources. */
export function page(results: Results): string {
  const { scenarios } = results
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>onramp: benchmark report</title>
<style>${style}</style>
<header>
<h1>onramp <span>benchmark report</span></h1>
<p>${escapeHtml(machineLine(results))}</p>
<nav aria-label="Scenarios">${scenarios.map(({ name }) => `<a href="#${name}">${name}</a>`).join(' ')}</nav>
</header>
<main>
${overview(results)}
${scenarios.map(section).join('\n')}
</main>
</html>
`
}

/** What any run of these scenarios leaves open, whatever its figures are. */
const limits = [
  'One machine: the load generator, onramp, PostgreSQL and Redis share its cores and talk over loopback. A network adds its own latency, and loses packets.',
  'Absolute figures depend on this machine. Ratios compare variants that took turns within one run; they carry over better.',
  'Minutes, not days: slow growth of memory, long-lived connections and disk wear are not measured.',
  'The time from a commit to the visible change: the fault tests measure it, see test/README.md.',
  'The hit ratio of your traffic: story caches all of its lists. The scenario hit-ratio has the ratios of a limited memory.',
  'The data is synthetic: the example marketplace, with the real popularity of counties, but with assumed households. Other data has other hit ratios.',
  'Most scenarios read. Writes are measured by pgbench only, in the scenario writes.',
  'The fault tests measure more failures than the scenario outage does: see test/README.md.',
]

function overview(results: Results): string {
  const { held, missed } = targetsOf(results)
  const all = held.length + missed.length
  const list = (some: Judged[]) => `<ul class="verdicts">${some.map(judged).join('')}</ul>`
  const short = inShort(results)
  const without = withoutTarget(results)
  return `${short.length === 0 ? '' : `<section id="short">\n<h2>In short</h2>\n${notesList(short)}\n</section>\n`}<section id="verdicts">
<h2>What holds, and what does not</h2>
<p class="question">${held.length} of ${all} targets hold${missed.length === 0 ? '.' : `, ${missed.length} ${missed.length === 1 ? 'does' : 'do'} not.`} Measures without a target are in the sections of their scenarios.${without.length === 0 ? '' : ` No target at all: ${without.join(', ')}.`}</p>
${missed.length === 0 ? '' : list(missed)}
${list(held)}
</section>
<section id="limits">
<h2>What this benchmark does not show</h2>
${notesList(limits)}
<h2>How to read the figures</h2>
${notesList(reading)}
</section>`
}

function notesList(texts: readonly string[]): string {
  return `<ul class="notes">${texts.map((text) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`
}

const reading = [
  'p50 and p99: half of the answers, and 99 % of them, took at most this time. Waits are in µs (microseconds), ms (milliseconds) or s (seconds). Waits of failed requests are included.',
  'CPU per request: CPU time of the server, user and system, divided by its answers. Neither the load generator nor PostgreSQL is included.',
  'A ratio (times) is the median of the ratios of the rounds. In brackets: its lowest and its highest round. It can differ from the ratio of the medians in a table.',
  'Within the noise: some rounds are on the other side of the target.',
  'Spread: the difference between the highest and the lowest round of the named measure, as a share of the median round. A large spread means noise.',
  'Load generator CPU: its share of one core. Near 100 %, the load generator limits the throughput: compare CPU per request, and look at its spread.',
  'Failed: an answer other than 2xx or 304, or no answer within the timeout.',
  'KB is 1,000 bytes; KiB and MiB are 1,024 and 1,048,576 bytes.',
]

function judged({ scenario, claim }: Judged): string {
  const miss = isMissed(claim)
  const cause = miss ? `<small>${escapeHtml(causeOf(claim))}</small>` : ''
  return `<li class="${miss ? 'bad' : 'good'}"><b>${verdict(claim)}</b><span>${escapeHtml(claim.measure)}: <strong>${escapeHtml(claim.measured)}</strong>, target ${escapeHtml(claim.target ?? '')} <a href="#${scenario}">${scenario}</a>${cause}</span></li>`
}

function section({ name, question, claims, tables, charts, notes }: Finished): string {
  const figures = charts.map(figure).join('')
  const facts = notes.length === 0 ? '' : notesList(notes)
  // With an odd number of charts, the notes fill the rest of the last row.
  const isBeside = charts.length % 2 === 1
  return `<section id="${name}">
<h2>${name}</h2>
<p class="question">${escapeHtml(question)}</p>
<div class="claims">${claims.map(card).join('')}</div>
${figures === '' ? '' : `<div class="charts">${figures}${isBeside ? facts : ''}</div>`}
${tables.map(table).join('\n')}
${isBeside ? '' : facts}
</section>`
}

function figure(chart: Chart): string {
  return `<figure><figcaption>${escapeHtml(chart.title)}</figcaption>${legend(chart)}${svg(chart)}</figure>`
}

function card(claim: Claim): string {
  const held = verdict(claim)
  const kind = held === '' ? '' : isMissed(claim) ? ' bad' : ' good'
  const cause = isMissed(claim) ? ` ${escapeHtml(causeOf(claim))}` : ''
  const judged = held === '' ? '' : `; <b>${held}</b>.${cause}`
  const target = goal(claim) === '' ? '' : `<small>target: ${escapeHtml(goal(claim))}${judged}</small>`
  return `<div class="claim${kind}"><span>${escapeHtml(claim.measure)}</span><strong>${escapeHtml(claim.measured)}</strong>${target}</div>`
}

function table({ title, head, rows }: Table): string {
  const row = (cells: (string | number)[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(String(cell))}</${tag}>`).join('')}</tr>`
  // The title is no caption, which would scroll away with a wide table.
  return `<h3>${escapeHtml(title)}</h3><div class="scroll"><table aria-label="${escapeHtml(title)}"><thead>${row(head, 'th')}</thead><tbody>${rows
    .map((cells) => row(cells, 'td'))
    .join('')}</tbody></table></div>`
}

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1b2430, #e6ebf2); --soft: light-dark(#556373, #9aa9ba);
  --paper: light-dark(#f6f7f9, #10151b); --card: light-dark(#fff, #182029); --line: light-dark(#dfe4ea, #2a3541);
  --good: light-dark(#14774a, #4cc38a); --bad: light-dark(#b83427, #ff8a75);
  --c0: light-dark(#1f6feb, #6cb0ff); --c1: light-dark(#e0662b, #ff9d66); --c2: light-dark(#12876f, #45c7a8);
  --c3: light-dark(#8b45c9, #c193f0); --c4: light-dark(#b58900, #e6c04d); --c5: light-dark(#d33682, #f48fc0) }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
header, main { max-width: 1300px; margin: 0 auto; padding: 0 24px }
header { padding-top: 36px }
h1 { font-size: 34px; letter-spacing: -.02em; margin: 0; line-height: 1.2 }
h1 span { color: var(--soft); font-weight: 400 }
header p, .question { color: var(--soft); margin: 6px 0 14px; max-width: 90ch }
nav { display: flex; flex-wrap: wrap; gap: 6px }
nav a { color: inherit; text-decoration: none; border: 1px solid var(--line); background: var(--card); padding: 3px 11px; border-radius: 99px }
section { margin: 36px 0; border-top: 1px solid var(--line); padding-top: 20px }
h2 { margin: 0; font-size: 23px }
.notes + h2 { margin-top: 26px }
.verdicts { list-style: none; margin: 12px 0; padding: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px }
.verdicts li { display: grid; grid-template-columns: 8.5em 1fr; gap: 4px 14px; padding: 7px 14px; border-left: 4px solid }
.verdicts li + li { border-top: 1px solid var(--line) }
.verdicts .good { border-left-color: var(--good) } .verdicts .bad { border-left-color: var(--bad) }
.verdicts small { display: block; color: var(--soft); font-size: 13.5px }
.verdicts a { color: var(--soft); font-size: 13px }
.claims { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 12px; margin: 14px 0 }
.claim { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 8px; padding: 11px 14px; display: flex; flex-direction: column; gap: 3px }
.claim span, .claim small { color: var(--soft); font-size: 13px }
.claim strong { font-size: 17px; line-height: 1.3; font-variant-numeric: tabular-nums }
.claim.good { border-left-color: var(--good) } .good b { color: var(--good) }
.claim.bad { border-left-color: var(--bad) } .bad b { color: var(--bad) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 14px }
figure { container-type: inline-size; margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px }
figcaption, h3 { font-weight: 600; font-size: 15px; margin: 0; padding-bottom: 6px }
h3 { margin-top: 18px }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 0 0 6px; padding: 0; list-style: none; font-size: 13px }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px }
/* A chart is 400 units wide, whatever its size on the screen is: the text has between 12 and 15 pixels. */
svg { width: 100%; height: auto; display: block; font: 14px system-ui, sans-serif }
svg .value { font-size: .85em }
@container (min-width: 380px) { svg { font-size: 12px } }
@container (min-width: 480px) { svg { font-size: 10px } }
@container (min-width: 560px) { svg { font-size: 9.5px } }
svg .halo { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round }
.scroll { overflow-x: auto; margin: 0 0 16px; background: linear-gradient(90deg, var(--paper) 30%, transparent) 0 0 / 40px 100% no-repeat local,
  linear-gradient(-90deg, var(--paper) 30%, transparent) 100% 0 / 40px 100% no-repeat local,
  linear-gradient(90deg, var(--line), transparent) 0 0 / 14px 100% no-repeat, linear-gradient(-90deg, var(--line), transparent) 100% 0 / 14px 100% no-repeat }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { text-align: right; padding: 5px 11px; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: bottom }
th { color: var(--soft); font-weight: 500; white-space: normal }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 11em }
.notes { color: var(--soft); font-size: 14px; max-width: 95ch; padding-left: 18px; margin: 10px 0 }
#short .notes { color: inherit; font-size: inherit }
#short li + li { margin-top: 6px }
@media (max-width: 560px) {
  header, main { padding: 0 14px }
  header { padding-top: 20px }
  figure { padding: 8px }
  .verdicts li { grid-template-columns: 1fr }
  th:first-child, td:first-child { min-width: 8em }
}
`
