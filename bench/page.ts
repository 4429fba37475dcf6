import { svg } from './chart.ts'
import { escapeHtml } from './html.ts'
import { type Finished, oneLine, type Results, verdict, verdictInWords } from './report.ts'
import type { Claim, Table } from './scenario.ts'

/** A run as one HTML file that asks no other host for anything. */
export function page({ scenarios, ...run }: Results): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>onramp: what was measured</title>
<style>${style}</style>
<header>
<h1>onramp <span>what was measured</span></h1>
<p>${escapeHtml(oneLine(run))} ${(run.seconds / 60).toFixed(0)} minutes.</p>
<nav>${scenarios.map(({ name }) => `<a href="#${name}">${name}</a>`).join(' ')}</nav>
</header>
<main>
${scenarios.map(section).join('\n')}
</main>
</html>
`
}

function section({ name, question, claims, tables, charts, notes }: Finished): string {
  return `<section id="${name}">
<h2>${name}</h2>
<p class="question">${escapeHtml(question)}</p>
<div class="claims">${claims.map(card).join('')}</div>
<div class="charts">${charts.map((chart) => `<figure><figcaption>${escapeHtml(chart.title)}</figcaption>${svg(chart)}</figure>`).join('')}</div>
${tables.map(table).join('\n')}
${notes.length === 0 ? '' : `<ul class="notes">${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>`}
</section>`
}

function card(claim: Claim): string {
  const held = verdict(claim)
  const kind = held === '' ? '' : held === 'holds' ? ' good' : ' bad'
  const bound =
    claim.floor === undefined
      ? ''
      : `<small>has to be ${escapeHtml(claim.floor)}: <b>${escapeHtml(verdictInWords(claim))}</b></small>`
  return `<div class="claim${kind}"><span>${escapeHtml(claim.what)}</span><strong>${escapeHtml(claim.measured)}</strong>${bound}</div>`
}

function table({ title, head, rows }: Table): string {
  const row = (cells: (string | number)[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(String(cell))}</${tag}>`).join('')}</tr>`
  return `<div class="scroll"><table><caption>${escapeHtml(title)}</caption><thead>${row(head, 'th')}</thead><tbody>${rows
    .map((cells) => row(cells, 'td'))
    .join('')}</tbody></table></div>`
}

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1b2430, #e6ebf2); --soft: light-dark(#5c6b7d, #94a3b5);
  --paper: light-dark(#f6f7f9, #10151b); --card: light-dark(#fff, #182029); --line: light-dark(#dfe4ea, #2a3541);
  --good: light-dark(#14804a, #4cc38a); --bad: light-dark(#c0392b, #ff8a75);
  --c0: light-dark(#1f6feb, #6cb0ff); --c1: light-dark(#e0662b, #ff9d66); --c2: light-dark(#12876f, #45c7a8);
  --c3: light-dark(#8b45c9, #c193f0); --c4: light-dark(#b58900, #e6c04d); --c5: light-dark(#d33682, #f48fc0) }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 24px }
header { padding-top: 40px }
h1 { font-size: 34px; letter-spacing: -.02em; margin: 0 }
h1 span { color: var(--soft); font-weight: 400 }
header p, .question { color: var(--soft); margin: 6px 0 14px; max-width: 80ch }
nav { position: sticky; top: 0; display: flex; flex-wrap: wrap; gap: 6px }
nav a { color: inherit; text-decoration: none; border: 1px solid var(--line); background: var(--card); padding: 3px 11px; border-radius: 99px }
section { margin: 44px 0; border-top: 1px solid var(--line); padding-top: 22px }
h2 { margin: 0; font-size: 23px }
.claims { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 12px; margin: 14px 0 }
.claim { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 8px; padding: 11px 14px; display: flex; flex-direction: column; gap: 3px }
.claim span, .claim small { color: var(--soft); font-size: 13px }
.claim strong { font-size: 17px; line-height: 1.3; font-variant-numeric: tabular-nums }
.claim.good { border-left-color: var(--good) } .claim.good b { color: var(--good) }
.claim.bad { border-left-color: var(--bad) } .claim.bad b { color: var(--bad) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(460px, 1fr)); gap: 14px }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 13px }
figcaption, caption { font-weight: 600; text-align: left; padding-bottom: 6px }
svg { width: 100%; height: auto; display: block; font: 11px system-ui, sans-serif }
.scroll { overflow-x: auto; margin: 16px 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { text-align: right; padding: 5px 12px; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
th { color: var(--soft); font-weight: 500 }
.notes { color: var(--soft); font-size: 13.5px; max-width: 95ch; padding-left: 18px }
@media (max-width: 560px) { .charts { grid-template-columns: 1fr } }
`
