import { escapeHtml } from './html.ts'
import { type Chart, rounded } from './scenario.ts'

/** 10,000 as 10K: ticks of the x axis stand close together. */
const short = new Intl.NumberFormat('en-US', { notation: 'compact' })
/** About the width of a phone, in CSS pixels: text then has nearly its own size on every screen. */
const [width, height] = [400, 250]
const edge = { left: 58, right: 16, top: 26, bottom: 46 }
/** Of a label above the plot. */
const rowHeight = 17
/** Of a letter, at the largest size of the text that the style of the page sets. */
const letterWidth = 7.7

/** A chart as an SVG, without title and legend: these are HTML, so that they wrap. */
export function svg(chart: Chart): string {
  return chart.kind === 'bars' ? bars(chart) : lines(chart)
}

interface Axis {
  place(value: number): number
  ticks: number[]
}

function lines(chart: Chart): string {
  const series = (chart.kind === 'stack' ? stacked(chart.series) : chart.series).map(({ name, points }) => ({
    name,
    points: points.filter(([x, y]) => Number.isFinite(y) && (!chart.isLog || y > 0) && (!chart.isXLog || x > 0)),
  }))
  const all = series.flatMap(({ points }) => points)
  if (all.length === 0) return ''
  const places = all.map(([at]) => at)
  const horizontal: [number, number] = [edge.left, width - edge.right]
  const x = chart.isXLog
    ? logarithmic([Math.min(...places), Math.max(...places)], horizontal)
    : linear([Math.min(0, ...places), Math.max(...places)], horizontal)
  const values = all.map(([, value]) => value)
  const vertical: [number, number] = [height - edge.bottom, edge.top]
  const y = chart.isLog
    ? logarithmic([Math.min(...values), Math.max(...values)], vertical)
    : linear([0, Math.max(...values, 1e-9)], vertical)
  const shapes = series.map(({ points }, i) => {
    const path = points
      .map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${x.place(px).toFixed(1)} ${y.place(py).toFixed(1)}`)
      .join('')
    if (chart.kind !== 'stack')
      return `<path d="${path}" fill="none" stroke="var(--c${i % 6})" stroke-width="2" stroke-linejoin="round"/>`
    const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 0]
    const floor = y.place(0).toFixed(1)
    return `<path d="${path}L${x.place(last).toFixed(1)} ${floor}L${x.place(first).toFixed(1)} ${floor}Z" fill="var(--c${i % 6})"/>`
  })
  // The tallest first: each series covers the lower part of the sum that contains it.
  if (chart.kind === 'stack') shapes.reverse()
  const marks = chart.marks ?? []
  const labels = marks.map(({ x: at, label }, i) => mark(x.place(at), rowHeight * (i + 1 - marks.length) + 10, label))
  return frame(chart, grid(x, y) + shapes.join('') + labels.join(''), rowHeight * marks.length)
}

/**
 * A dashed line down to the axis from a label above the plot. The label is to the right of the line. Where it would be cut off, it is above
 * the line, at the edge.
 */
function mark(x: number, y: number, label: string): string {
  const isAtEdge = x + 4 + label.length * letterWidth > width
  const [at, anchor, top] = isAtEdge ? [width - 1, 'end', y + 4] : [x + 4, 'start', y - 9]
  return (
    `<line x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${top}" y2="${height - edge.bottom}" stroke="var(--soft)" stroke-dasharray="3 3"/>` +
    `<text class="halo" x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}" fill="var(--soft)">${escapeHtml(label)}</text>`
  )
}

/** Adds to each series the sum of those before it. */
function stacked(series: Chart['series']): Chart['series'] {
  const sums = new Map<number, number>()
  return series.map(({ name, points }) => ({
    name,
    points: points.map(([x, y]): [number, number] => {
      const sum = (sums.get(x) ?? 0) + y
      sums.set(x, sum)
      return [x, sum]
    }),
  }))
}

/** Groups of bars side by side. The x of a point is the number of its group; `marks` names the groups. */
function bars(chart: Chart): string {
  const groups = chart.marks ?? []
  const values = chart.series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0)
  const vertical: [number, number] = [height - edge.bottom, edge.top]
  const y = chart.isLog
    ? logarithmic([Math.min(...values) / 2, Math.max(...values)], vertical)
    : linear([0, Math.max(...values)], vertical)
  const room = (width - edge.left - edge.right) / Math.max(1, groups.length)
  const thick = Math.min(38, (room * 0.9) / chart.series.length)
  const shapes = chart.series.flatMap(({ name, points }, i) =>
    points
      .filter(([, value]) => value > 0)
      .map(([group, value]) => {
        const left = edge.left + room * (group + 0.5) + thick * (i - chart.series.length / 2)
        const top = y.place(value)
        return (
          `<rect x="${left.toFixed(1)}" y="${top.toFixed(1)}" width="${(thick - 2).toFixed(1)}" height="${Math.max(0, vertical[0] - top).toFixed(1)}" rx="2" fill="var(--c${i % 6})"><title>${escapeHtml(name)}: ${rounded(value)}</title></rect>` +
          `<text x="${(left + thick / 2 - 1).toFixed(1)}" y="${(top - 4).toFixed(1)}" text-anchor="middle" class="value" fill="var(--soft)">${rounded(value)}</text>`
        )
      }),
  )
  // The last word of a name goes to a line of its own, since groups are narrow.
  const names = groups.flatMap(({ x, label }) =>
    (label.match(/^(.+) (\S+)$/)?.slice(1) ?? [label]).map(
      (part, line) =>
        `<text x="${(edge.left + room * (x + 0.5)).toFixed(1)}" y="${height - edge.bottom + 15 + 14 * line}" text-anchor="middle" fill="var(--soft)">${escapeHtml(part)}</text>`,
    ),
  )
  const ticks = grid({ place: () => 0, ticks: [] }, y)
  return frame(chart, ticks + shapes.join('') + names.join(''))
}

/** `above`: room above the plot, for labels. */
function frame({ title, x, y }: Chart, inside: string, above = 0): string {
  return (
    `<svg viewBox="0 ${-above} ${width} ${height + above}" role="img" aria-label="${escapeHtml(title)}">${inside}` +
    `<text x="${width - edge.right}" y="${height - 4}" text-anchor="end" fill="var(--soft)">${escapeHtml(x)}</text>` +
    `<text x="2" y="${10 - above}" fill="var(--soft)">${escapeHtml(y)}</text></svg>`
  )
}

/** The names of the series with their colors, as HTML; nothing for a single series, which the title names. */
export function legend({ series }: Chart): string {
  if (series.length < 2) return ''
  const items = series.map(({ name }, i) => `<li><i style="background:var(--c${i % 6})"></i>${escapeHtml(name)}</li>`)
  return `<ul class="legend">${items.join('')}</ul>`
}

function grid(x: Axis, y: Axis): string {
  const across = y.ticks.map(
    (tick) =>
      `<line x1="${edge.left}" x2="${width - edge.right}" y1="${y.place(tick)}" y2="${y.place(tick)}" stroke="var(--line)"/>` +
      `<text x="${edge.left - 6}" y="${y.place(tick) + 4}" text-anchor="end" fill="var(--soft)">${rounded(tick)}</text>`,
  )
  const down = x.ticks.map(
    (tick) =>
      `<text x="${x.place(tick)}" y="${height - edge.bottom + 15}" text-anchor="middle" fill="var(--soft)">${tick < 1000 ? rounded(tick) : short.format(tick)}</text>`,
  )
  return across.join('') + down.join('')
}

function linear([low, high]: [number, number], [from, to]: [number, number]): Axis {
  const step = niceStep((high - low) / 5)
  const ticks: number[] = []
  for (let tick = Math.ceil(low / step) * step; tick <= high * 1.0001; tick += step) ticks.push(tick)
  const place = (value: number) => from + ((value - low) / (high - low || 1)) * (to - from)
  return { place, ticks }
}

function niceStep(rough: number): number {
  const unit = 10 ** Math.floor(Math.log10(rough || 1))
  return ([1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10) * unit
}

function logarithmic([low, high]: [number, number], ends: [number, number]): Axis {
  const [from, to] = [
    Math.floor(Math.log10(low)),
    Math.max(Math.ceil(Math.log10(high)), Math.floor(Math.log10(low)) + 1),
  ]
  const inner = linear([from, to], ends)
  const ticks = Array.from({ length: to - from + 1 }, (_none, i) => 10 ** (from + i))
  return { place: (value) => inner.place(Math.log10(value)), ticks }
}
