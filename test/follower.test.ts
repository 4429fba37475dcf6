import { expect, test } from 'vitest'
import { LogFollower } from '../proxy/coherence/follower.ts'
import { type Event, type Invalidation, Ledger } from '../proxy/coherence/ledger.ts'
import { type Log, ownLog } from '../proxy/coherence/log.ts'
import { ManualClock, recorder, settled } from './support.ts'

const key = 'plan@1?plan_id=1'
const hard = (...tags: string[]): Invalidation => ({ tags, soft: false, cause: 'purge' })

/** A log in memory, whose connection and content a test can change. */
function scriptedLog() {
  let ids = 0
  let reconnected = () => {}
  const waiters: (() => void)[] = []
  const log = {
    events: [] as Event[],
    beats: undefined as string | undefined,
    isShared: true,
    isReachable: true,
    /** Whether only reads are refused. */
    isReadable: true,
    /** Appends as this process or another one would. */
    add(invalidation: Invalidation): Event {
      const last = log.events.at(-1)
      ids += 1
      const event = { pos: (last?.pos ?? 0) + 1, id: `e${ids}`, prev: last?.id ?? '', ...invalidation }
      log.events.push(event)
      return event
    },
    wake: () => waiters.splice(0).forEach((wake) => void wake()),
    reconnect() {
      log.isReachable = true
      reconnected()
    },
    causes: () => log.events.map(({ cause, tags }) => `${cause} ${tags}`.trim()),
    async append(invalidation: Invalidation) {
      if (!log.isReachable) throw new Error('unreachable')
      return log.add(invalidation)
    },
    async head() {
      if (!log.isReachable) throw new Error('unreachable')
      const last = log.events.at(-1)
      return last && { pos: last.pos, id: last.id, beat: log.beats }
    },
    async read(pos: number) {
      if (!log.isReachable || !log.isReadable) throw new Error('unreachable')
      return log.events.filter((event) => event.pos > pos)
    },
    async next(pos: number) {
      await new Promise<void>((resolve) => waiters.push(resolve))
      return log.read(pos)
    },
    async beat() {},
    onReconnect(run: () => void) {
      reconnected = run
    },
    close() {},
  }
  return log satisfies Log
}

async function setup({ isFollowed = false } = {}) {
  const clock = new ManualClock()
  const seen = recorder()
  const ledger = new Ledger()
  const log = scriptedLog()
  const follower = new LogFollower({ log, ledger, clock, observe: seen.observe })
  follower.databaseFollowed(isFollowed)
  await follower.start()
  const pass = async (ms: number) => {
    clock.pass(ms)
    await settled()
  }
  const entry = () => ({ stamp: ledger.stamp(), tags: ['a'], readAt: clock.now() })
  const verdicts = (held: ReturnType<typeof entry>) => [
    ledger.verdict(key, held, clock.now()),
    ledger.verdictShared(key, held, clock.now()),
  ]
  return { clock, seen, ledger, log, follower, pass, entry, verdicts }
}

test('the first process begins the log; a later one begins with all events that the log holds', async () => {
  const { log, ledger, follower } = await setup()
  expect(log.causes()).toEqual(['barrier'])
  expect([ledger.position.pos, follower.isShared, follower.state.gaps]).toEqual([1, true, 0])

  const later = new Ledger()
  log.add(hard('a'))
  const clock = new ManualClock()
  const { observe } = recorder()
  const second = new LogFollower({ log, ledger: later, clock, observe })
  await second.start()
  const written = { stamp: { seq: 0, pos: 1, id: 'e1' }, tags: ['a'], readAt: clock.now() }
  expect(later.verdictShared(key, written, clock.now())).toBe('invalid')
  expect(later.verdictShared(key, { ...written, tags: ['b'] }, clock.now())).toBe('current')
})

test('an invalidation is applied here when its publishing resolves, with its position', async () => {
  const { follower, entry, verdicts } = await setup()
  const before = entry()
  expect(await follower.publish(hard('a'))).toEqual({ pos: 2, id: 'e2' })
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
  expect(verdicts(entry())).toEqual(['current', 'current'])
})

test('events of other processes are applied before an event that is published after them', async () => {
  const { log, follower, entry, verdicts, ledger } = await setup()
  const before = entry()
  log.add(hard('a'))
  expect(await follower.publish(hard('b'))).toEqual({ pos: 3, id: 'e3' })
  expect(ledger.position.pos).toBe(3)
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
})

test('a purge during a loss of the log holds here, stays unpublished, and is appended before Redis is used again', async () => {
  const { log, follower, entry, verdicts, pass } = await setup()
  const before = entry()
  log.isReachable = false
  expect(await follower.publish(hard('a'))).toBeUndefined()
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
  expect(follower.isShared).toBe(false)
  log.add(hard('other')) // another process still reaches it
  log.reconnect()
  await pass(0)
  expect(log.causes()).toEqual(['barrier', 'purge other', 'purge a'])
  expect(follower.isShared).toBe(true)
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
})

test('an event that was appended but not read back stays unpublished: Redis is not used until it is at its position', async () => {
  const { log, follower, entry, verdicts, pass } = await setup()
  const before = entry()
  log.add(hard('other'))
  log.isReadable = false
  expect(await follower.publish(hard('a'))).toEqual({ pos: 3, id: 'e3' })
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
  expect(follower.isShared).toBe(false)
  log.events.pop() // a failover loses it, and this process never saw it at its position
  log.isReadable = true
  await pass(1000)
  expect(log.causes()).toEqual(['barrier', 'purge other', 'purge a'])
  expect(follower.isShared).toBe(true)
})

test('many unpublished invalidations become two events, and too many tags become everything', async () => {
  const { log, follower, pass } = await setup()
  log.isReachable = false
  for (let i = 0; i < 1100; i += 1) await follower.publish(hard(`t${i}`))
  await follower.publish({ ...hard('soft'), soft: true })
  log.reconnect()
  await pass(0)
  expect(log.causes()).toEqual(['barrier', 'purge soft', 'purge *'])
})

test('a lost tail is a gap: a barrier, then the events of the last half minute once more', async () => {
  const { log, follower, entry, verdicts, pass, seen } = await setup()
  await follower.publish(hard('long ago'))
  for (let i = 0; i < 31; i += 1) await pass(1000)
  const before = entry()
  await follower.publish(hard('a'))
  log.events.pop()
  await pass(1000)
  expect(log.causes()).toEqual(['barrier', 'purge long ago', 'barrier', 'purge a'])
  expect(seen.of('log-gap').length).toBe(1)
  expect(verdicts(before)).toEqual(['invalid', 'invalid'])
  expect([follower.state.gaps, follower.isShared]).toEqual([1, true])
})

test('an unpublished event that was appended and then lost is appended again', async () => {
  const { log, follower, pass } = await setup()
  log.isReachable = false
  await follower.publish(hard('a'))
  log.reconnect()
  await pass(0)
  expect(log.causes()).toEqual(['barrier', 'purge a'])
  log.events.pop()
  await pass(1000)
  expect(log.causes()).toEqual(['barrier', 'barrier', 'purge a'])
})

test('an event published just before a long loss of the log is published again if it was lost', async () => {
  const { log, follower, pass } = await setup()
  await follower.publish(hard('a'))
  log.isReachable = false
  for (let i = 0; i < 60; i += 1) await pass(1000)
  log.events.pop()
  log.reconnect()
  await pass(0)
  expect(log.causes()).toEqual(['barrier', 'barrier', 'purge a'])
})

test('the same head position with another id, or a log that is gone, is a gap', async () => {
  for (const lost of [1, 3]) {
    const { log, follower, pass } = await setup()
    await follower.publish(hard('a'))
    await pass(31_000)
    log.events.splice(-lost)
    if (lost === 1) log.add(hard('somebody else'))
    await pass(1000)
    expect([follower.state.gaps, follower.isShared]).toEqual([1, true])
  }
})

test('an answer from before a gap does not count as another gap', async () => {
  const { log, follower, pass } = await setup()
  await follower.publish(hard('a'))
  const late = Promise.withResolvers<Event[]>()
  log.next = () => {
    log.next = () => new Promise(() => {})
    return late.promise
  }
  log.wake() // the test decides when the next blocking read is answered
  await pass(0)
  log.events.splice(-1)
  for (const tag of ['x', 'y', 'z']) log.add(hard(tag))
  await pass(1000)
  expect([follower.state.gaps, follower.isShared]).toEqual([1, true])
  late.resolve(log.events.slice(1, 4))
  await pass(0)
  expect([follower.state.gaps, follower.isShared]).toEqual([1, true])
})

test('a first purge during the first check of an empty log is no gap, and later gaps are still detected', async () => {
  const clock = new ManualClock()
  const { observe } = recorder()
  const log = scriptedLog()
  const ledger = new Ledger()
  const follower = new LogFollower({ log, ledger, clock, observe })
  await Promise.all([follower.start(), follower.publish(hard('a'))])
  clock.pass(1000)
  await settled()
  expect([follower.state.gaps, follower.isShared]).toEqual([0, true])
  log.events.splice(-1)
  clock.pass(1000)
  await settled()
  expect([follower.state.gaps, follower.isShared]).toEqual([1, true])
})

test('unverified for three seconds is degraded, at the bound; a check of the head ends it', async () => {
  const { log, follower, entry, verdicts, pass, seen, clock } = await setup()
  const held = entry()
  log.isReachable = false
  for (let i = 0; i < 3; i += 1) await pass(1000)
  expect([verdicts(held)[0], follower.isShared, follower.state.state]).toEqual(['current', true, 'synchronized'])
  clock.pass(1)
  expect([verdicts(held)[0], follower.isShared]).toEqual(['unverified', false])
  await pass(999)
  expect(follower.state.state).toBe('degraded')
  await pass(2000)
  log.reconnect()
  await pass(0)
  expect([verdicts(held)[0], follower.isShared, follower.state.state]).toEqual(['current', true, 'synchronized'])
  expect(seen.of('coherence')).toMatchObject([{ state: 'degraded' }, { state: 'synchronized' }])
  expect(follower.state.degradedSeconds).toBe(2)
})

test('if the database is to be followed, a log without new beats verifies nothing', async () => {
  const { log, follower, pass } = await setup({ isFollowed: true })
  const states: string[] = []
  for (let i = 0; i < 6; i += 1) {
    await pass(1000)
    states.push(follower.state.state)
  }
  expect(states.at(-1)).toBe('degraded')
  log.beats = 'one'
  await pass(1000)
  expect(follower.state.state).toBe('synchronized')
})

test('whether the database is to be followed may change, and counts from the next check on', async () => {
  const { follower, pass } = await setup()
  for (let i = 0; i < 6; i += 1) await pass(1000)
  expect(follower.state.state).toBe('synchronized')
  follower.databaseFollowed(true)
  expect(follower.state.state).toBe('synchronized')
  await pass(1000)
  expect(follower.state.state).toBe('degraded')
  follower.databaseFollowed(false)
  await pass(1000)
  expect(follower.state.state).toBe('synchronized')
})

test('a position is reached once it is applied, and not before', async () => {
  const { log, follower, ledger } = await setup()
  const event = log.add(hard('a'))
  expect(ledger.holds(event)).toBe(false)
  expect(await follower.reached(event, 20)).toBe(true)
  expect(await follower.reached({ pos: 9, id: 'nowhere' }, 20)).toBe(false)
  expect(await follower.reached({ ...event, id: 'another' }, 20)).toBe(false)
})

test('a position that does not come is waited for up to the given time', async () => {
  const { log, follower, clock } = await setup()
  log.read = () => new Promise(() => {})
  let isOver = false
  const reaching = follower.reached({ pos: 2, id: 'e2' }, 20).then((is) => {
    isOver = true
    return is
  })
  clock.pass(19)
  await settled()
  expect(isOver).toBe(false)
  clock.pass(1)
  expect(await reaching).toBe(false)
})

test('a process without Redis follows a log of its own: never shared, never degraded, and positions are applied', async () => {
  const clock = new ManualClock()
  const { observe } = recorder()
  const ledger = new Ledger()
  const follower = new LogFollower({ log: ownLog(), ledger, clock, observe })
  await follower.start()
  const [one, two] = await Promise.all([follower.publish(hard('a')), follower.publish(hard('b'))])
  expect([one && ledger.holds(one), two && ledger.holds(two)]).toEqual([true, true])
  for (let i = 0; i < 10; i += 1) {
    clock.pass(1000)
    await settled()
  }
  expect([follower.isShared, follower.state.state, follower.state.gaps]).toEqual([false, 'synchronized', 0])
})
