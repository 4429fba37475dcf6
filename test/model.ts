import { type Event, isGood, Ledger, type Stamp, type Stamped } from '../proxy/coherence/ledger.ts'

/** The rules of the protocol. Without any one of them a violation must be found. */
export const rules = [
  'wait until visible',
  'stamp before read',
  'check at fill end',
  'dropping a raced fill',
  'versioned join',
  'memory check',
  'Redis check',
  'replay at start',
  'chained id',
  'barrier after a gap',
  'floor after a gap',
  'chain check on apply',
] as const
export type Rule = (typeof rules)[number]

/** How many events of each kind may happen in a world. */
export interface Bounds {
  writes: number
  fills: number
  failovers: number
  restarts: number
  /** Events that a node does not receive: the event after them does not continue the chain. */
  skips: number
}

/** A write is a bit. A read is the set of the writes that were visible then. */
type Writes = number

/** An event, and with it the log up to it. Equal logs are the same object, so `at` identifies them. */
interface Log extends Event {
  readonly at: number
  readonly before: Log | undefined
  readonly writes: Writes
  /** All writes in the log up to here. */
  readonly all: Writes
}

interface Kept {
  stamp: Stamp
  writes: Writes
}

interface Fill {
  stamp: Stamp
  /** Undefined until its SQL has run. */
  writes: Writes | undefined
  /** False if the stamp, against the rule, is yet to be taken. */
  isStamped: boolean
  /** The writes that its readers must see: all that the node had applied when they arrived. */
  needs: Writes
}

interface Node {
  /** The events of its ledger since the process began: an index into `Ledgers`. */
  history: number
  /** All writes that the log has reported to this process. */
  applied: Writes
  memory: Kept | undefined
  fills: readonly Fill[]
}

interface World extends Omit<Bounds, 'writes'> {
  /** For each write: 0 not yet, 1 flushed, 2 visible. */
  writes: readonly number[]
  log: Log
  /** Everything ever sent to Redis. Each value may be there now: writes may be late, lost, or rolled back. */
  sent: readonly Kept[]
  nodes: readonly Node[]
}

type Step = readonly [label: string, after: World]
type Told = 'apply' | 'join' | 'lose'

export interface Found {
  states: number
  /** The violation, and the shortest way to it. */
  violation?: { what: string; trace: string[] }
}

const key = 'k'
const tags = ['t']

/** Real ledgers, one for each history. Each is built by replaying its history, since a ledger cannot be copied. */
class Ledgers {
  readonly #told: (readonly [Told, Log | undefined])[][] = [[]]
  readonly #ledgers: Ledger[] = [new Ledger()]
  readonly #next = new Map<string, number>()

  /** The ledger with this history. Only for queries: its state must not change. */
  at(history: number): Ledger {
    return this.#ledgers[history] as Ledger
  }

  /** The history that continues this one by one step. */
  tell(history: number, told: Told, log?: Log): number {
    const name = `${history} ${told} ${log && `${log.at} ${log.pos} ${log.prev} ${log.tags}`}`
    const known = this.#next.get(name)
    if (known !== undefined) return known
    const all = [...(this.#told[history] ?? []), [told, log] as const]
    const ledger = new Ledger()
    for (const [one, log] of all) {
      if (one === 'lose' || log === undefined) ledger.lose()
      else if (one === 'join') ledger.join({ pos: log.pos, id: log.id })
      else ledger.apply(log, 0)
    }
    const next = this.#told.push(all) - 1
    this.#ledgers.push(ledger)
    this.#next.set(name, next)
    return next
  }
}

/** All possible steps of two processes, one Redis and one database, without the rule `broken`. */
class Model {
  readonly #ledgers = new Ledgers()
  readonly #logs = new Map<string, Log>()
  readonly #broken: Rule | undefined
  readonly #start: Log

  constructor(broken: Rule | undefined) {
    this.#broken = broken
    this.#start = this.#logOf(undefined, 0, 0)
  }

  start({ writes, ...bounds }: Bounds): World {
    const history = this.#ledgers.tell(0, 'join', this.#start)
    const node = { history, applied: 0, memory: undefined, fills: [] }
    const none = Array.from({ length: writes }, () => 0)
    return { ...bounds, writes: none, log: this.#start, sent: [], nodes: [node, node] }
  }

  /** The violation in `world`, whichever reader asks for the entry now. */
  violation({ nodes, sent }: World): string | undefined {
    for (const { history, applied, memory, fills } of nodes) {
      const ledger = this.#ledgers.at(history)
      if (memory && misses(memory.writes, applied) && this.#isCurrent(ledger, memory.stamp))
        return 'memory serves what is older than its node has applied'
      for (const { stamp, writes } of sent)
        if (misses(writes, applied) && this.#isCurrentShared(ledger, stamp))
          return 'Redis serves what is older than the node has applied'
      for (const { writes, needs } of fills)
        if (writes !== undefined && misses(writes, needs)) return 'a reader joined a fill that had read before'
    }
    return undefined
  }

  steps(world: World): Step[] {
    const { nodes, restarts } = world
    const steps = [...this.#databaseSteps(world), ...this.#failovers(world)]
    // Two equal nodes take equal steps.
    const distinct = nodes[0] === nodes[1] ? [0] : [0, 1]
    for (const n of distinct) {
      steps.push(...this.#followSteps(world, n), ...this.#fillSteps(world, n))
      if (restarts > 0) steps.push([`node ${n} restarts`, this.#restart({ ...world, restarts: restarts - 1 }, n)])
    }
    return steps
  }

  /** The log `before` with one more event. `era` distinguishes events appended to the same log before and after a failover. */
  #logOf(before: Log | undefined, writes: Writes, era: number): Log {
    const name = `${before?.at} ${writes} ${era}`
    const known = this.#logs.get(name)
    if (known !== undefined) return known
    const at = this.#logs.size
    const pos = before === undefined ? 0 : before.pos + 1
    const id = this.#broken === 'chained id' ? `${pos}` : `#${at}`
    const all = (before?.all ?? 0) | writes
    const log: Log = { at, before, writes, all, pos, id, prev: before?.id ?? '', ...about(writes) }
    this.#logs.set(name, log)
    return log
  }

  #append(world: World, writes: Writes): World {
    return { ...world, log: this.#logOf(world.log, writes, world.failovers) }
  }

  #databaseSteps(world: World): Step[] {
    const { writes, log } = world
    const steps: Step[] = []
    const begins = writes.indexOf(0) // they are alike: one order is enough
    if (begins >= 0) steps.push([`write ${begins} is flushed`, { ...world, writes: writes.with(begins, 1) }])
    for (const [w, state] of writes.entries()) {
      if (state === 1) steps.push([`write ${w} is visible`, { ...world, writes: writes.with(w, 2) }])
      const mayPublish = state === 2 || (state === 1 && this.#broken === 'wait until visible')
      if (mayPublish && !(log.all & (1 << w))) steps.push([`write ${w} is published`, this.#append(world, 1 << w)])
    }
    return steps
  }

  /** A replica without the last one or two events takes over. The processes that appended these append them again. */
  #failovers(world: World): Step[] {
    const failovers = world.failovers - 1
    const { before } = world.log
    if (failovers < 0 || before === undefined) return []
    const one: Step = ['a failover loses 1 event', { ...world, failovers, log: before }]
    if (before.before === undefined) return [one]
    return [one, ['a failover loses 2 events', { ...world, failovers, log: before.before }]]
  }

  #followSteps(world: World, n: number): Step[] {
    const node = world.nodes[n] as Node
    const ledger = this.#ledgers.at(node.history)
    if (!ledger.isSynchronized) return [[`node ${n} goes on after a gap`, this.#rejoin(world, n)]]
    const { pos } = ledger.position
    const next = eventAt(world.log, pos + 1)
    const afterNext = eventAt(world.log, pos + 2)
    const steps: Step[] = []
    if (next !== undefined) steps.push([`node ${n} reads event ${pos + 1}`, this.#apply(world, n, next)])
    else if (world.log.pos < pos || !ledger.holds(world.log)) {
      const history = this.#ledgers.tell(node.history, 'lose')
      steps.push([`node ${n} finds another head`, put(world, n, { ...node, history })])
    }
    if (afterNext !== undefined && world.skips > 0)
      steps.push([`node ${n} reads event ${pos + 2}`, this.#apply({ ...world, skips: world.skips - 1 }, n, afterNext)])
    return steps
  }

  #apply(world: World, n: number, event: Log): World {
    const node = world.nodes[n] as Node
    const { pos, id } = this.#ledgers.at(node.history).position
    const isForced = this.#broken === 'chain check on apply'
    const history = this.#ledgers.tell(node.history, 'apply', isForced ? { ...event, pos: pos + 1, prev: id } : event)
    const ledger = this.#ledgers.at(history)
    // Its position names the whole log up to there, so it must reflect that.
    const applied = ledger.isSynchronized ? node.applied | event.all : node.applied
    // A reader that arrives now joins the fill under way, if that is allowed.
    const fills = node.fills.map((fill) => (this.#mayJoin(ledger, fill) ? { ...fill, needs: applied } : fill))
    return put(world, n, { ...node, history, applied, fills })
  }

  #rejoin(world: World, n: number): World {
    const node = world.nodes[n] as Node
    const after = this.#broken === 'barrier after a gap' ? world : this.#append(world, 0)
    const history = this.#ledgers.tell(node.history, 'join', after.log)
    const { seq } = this.#ledgers.at(history).stamp()
    const raised = node.memory && { ...node.memory, stamp: { ...node.memory.stamp, seq } }
    const memory = this.#broken === 'floor after a gap' ? raised : node.memory
    return put(after, n, { ...node, history, memory, applied: node.applied | after.log.all })
  }

  /** A process starts with all events that the log has. */
  #restart(world: World, n: number): World {
    const fresh: Node = { history: 0, applied: 0, memory: undefined, fills: [] }
    if (world.log === this.#start) return this.#rejoin(put(world, n, fresh), n)
    let history = this.#ledgers.tell(0, 'join', this.#start)
    for (let pos = 1; pos <= world.log.pos; pos += 1) {
      const event = eventAt(world.log, pos) as Log
      const isForgotten = this.#broken === 'replay at start'
      history = this.#ledgers.tell(history, 'apply', isForgotten ? { ...event, ...about(0) } : event)
    }
    return put(world, n, { ...fresh, history, applied: world.log.all })
  }

  #fillSteps(world: World, n: number): Step[] {
    const node = world.nodes[n] as Node
    const ledger = this.#ledgers.at(node.history)
    const steps: Step[] = []
    for (const { stamp, writes } of world.sent) {
      if (!this.#isCurrentShared(ledger, stamp)) continue
      const memory = { stamp: ledger.stamp(), writes }
      steps.push([`node ${n} keeps what Redis has`, put(world, n, { ...node, memory })])
    }
    if (world.fills > 0 && !node.fills.some((fill) => this.#mayJoin(ledger, fill))) {
      const isStamped = this.#broken !== 'stamp before read'
      const fill: Fill = { stamp: ledger.stamp(), writes: undefined, isStamped, needs: node.applied }
      const begun = put(world, n, { ...node, fills: [...node.fills, fill] })
      steps.push([`node ${n} begins a fill`, { ...begun, fills: world.fills - 1 }])
    }
    for (const [i, fill] of node.fills.entries()) {
      const become = (after: Fill) => put(world, n, { ...node, fills: node.fills.with(i, after) })
      const name = `fill ${i} of node ${n}`
      if (fill.writes === undefined) steps.push([`${name} reads`, become({ ...fill, writes: visible(world.writes) })])
      else if (fill.isStamped) steps.push([`${name} ends`, this.#end(world, n, i, fill.writes)])
      else steps.push([`${name} is stamped`, become({ ...fill, stamp: ledger.stamp(), isStamped: true })])
    }
    return steps
  }

  #end(world: World, n: number, i: number, writes: Writes): World {
    const node = world.nodes[n] as Node
    const ledger = this.#ledgers.at(node.history)
    const fills = node.fills.toSpliced(i, 1)
    let { stamp } = node.fills[i] as Fill
    if (!isClean(ledger, stamp)) {
      if (this.#broken === 'dropping a raced fill') stamp = ledger.stamp()
      else if (this.#broken !== 'check at fill end') return put(world, n, { ...node, fills })
    }
    const kept = put(world, n, { ...node, fills, memory: { stamp, writes } })
    if (!ledger.isSynchronized || stamp.pos < 0) return kept
    const isSent = world.sent.some((other) => other.stamp.id === stamp.id && other.writes === writes)
    return isSent ? kept : { ...kept, sent: [...world.sent, { stamp: { ...stamp, seq: 0 }, writes }] }
  }

  /** Whether a fill has just been kept that lacks a write its node had applied. */
  keptRaced(before: World, after: World): boolean {
    return after.nodes.some(({ memory, applied, fills }, n) => {
      const hasEnded = fills.length < (before.nodes[n] as Node).fills.length
      return hasEnded && memory !== undefined && memory !== before.nodes[n]?.memory && misses(memory.writes, applied)
    })
  }

  #mayJoin(ledger: Ledger, { stamp }: Fill): boolean {
    return this.#broken === 'versioned join' || isClean(ledger, stamp)
  }

  #isCurrent(ledger: Ledger, stamp: Stamp): boolean {
    return this.#broken === 'memory check' || isClean(ledger, stamp)
  }

  #isCurrentShared(ledger: Ledger, stamp: Stamp): boolean {
    if (!ledger.isSynchronized) return false
    return this.#broken === 'Redis check' || ledger.verdictShared(key, judged(stamp), 0) === 'current'
  }
}

const judged = (stamp: Stamp): Stamped => ({ stamp, tags, readAt: 0 })
const isClean = (ledger: Ledger, stamp: Stamp) => isGood(ledger.verdict(key, judged(stamp), 0))
const misses = (writes: Writes, applied: Writes) => (applied & ~writes) !== 0
const visible = (writes: readonly number[]) => writes.reduce((all, state, w) => (state === 2 ? all | (1 << w) : all), 0)
const put = (world: World, n: number, node: Node): World => ({ ...world, nodes: world.nodes.with(n, node) })
const about = (writes: Writes) =>
  writes === 0
    ? ({ tags: [], soft: false, cause: 'barrier' } as const)
    : ({ tags, soft: false, cause: 'change' } as const)

function eventAt(log: Log, pos: number): Log | undefined {
  let event: Log | undefined = log.pos < pos ? undefined : log
  while (event !== undefined && event.pos > pos) event = event.before
  return event
}

const names = new WeakMap<Node, string>()

function nameOfNode(node: Node): string {
  const known = names.get(node)
  if (known !== undefined) return known
  const { history, memory, fills, applied } = node
  const ofKept = memory && `${memory.stamp.seq},${memory.writes}`
  const ofFills = fills.map(
    ({ stamp, writes, isStamped, needs }) => `${stamp.seq}${stamp.id},${writes},${isStamped},${needs}`,
  )
  const name = `${history} ${applied} ${ofKept} ${ofFills.join(' ')}`
  names.set(node, name)
  return name
}

/** The same name for worlds that differ only in the order of the nodes. */
function nameOf({ nodes, writes, log, sent, fills, failovers, restarts, skips }: World): string {
  const [a, b] = nodes.map(nameOfNode) as [string, string]
  const ofSent = sent.map(({ stamp, writes }) => `${stamp.id},${writes}`).sort()
  return `${writes} ${log.at} ${fills} ${failovers} ${restarts} ${skips} ${ofSent.join(' ')} | ${a < b ? `${a} | ${b}` : `${b} | ${a}`}`
}

/** 53 bits of a name. Among two million names, two are taken for the same once in five thousand runs. */
function hashOf(name: string): number {
  let [a, b] = [0x811c9dc5, 0x9e3779b9]
  for (let i = 0; i < name.length; i += 1) {
    const code = name.charCodeAt(i)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 13)
  }
  return (a >>> 0) * 0x200000 + ((b ^ (b >>> 15)) & 0x1fffff)
}

/** Explores every reachable world, nearest first, until one has a violation. */
export function explore(bounds: Bounds, broken?: Rule): Found {
  const model = new Model(broken)
  const start = model.start(bounds)
  const seen = new Set([hashOf(nameOf(start))])
  const came: { from: number; label: string }[] = [{ from: -1, label: 'start' }]
  let ring: [number, World][] = [[0, start]]
  while (ring.length > 0) {
    const further: [number, World][] = []
    for (const [from, world] of ring) {
      for (const [label, after] of model.steps(world)) {
        const hash = hashOf(nameOf(after))
        if (seen.has(hash)) continue
        seen.add(hash)
        const index = came.push({ from, label }) - 1
        const isRaced = model.keptRaced(world, after)
        const what = isRaced ? 'a raced fill is kept' : model.violation(after)
        if (what !== undefined) return { states: seen.size, violation: { what, trace: traceTo(came, index) } }
        further.push([index, after])
      }
    }
    ring = further
  }
  return { states: seen.size }
}

function traceTo(came: readonly { from: number; label: string }[], last: number): string[] {
  const trace: string[] = []
  for (let i = last; i > 0; i = came[i]?.from ?? -1) trace.unshift(came[i]?.label ?? '')
  return trace
}
