import { describe, expect, test } from 'vitest'
import { seenBy, Unseen, UntilVisible, widen } from '../proxy/changes/visibility.ts'
import { ManualClock, settled } from './support.ts'

describe('a 32-bit transaction id is extended to the right 64-bit one', () => {
  const epoch = 2n ** 32n
  test.each([
    ['in the first epoch', 800, 801n, 800n],
    ['given out after the one it is compared with', 900, 801n, 900n],
    ['in a later epoch', 800, 3n * epoch + 801n, 3n * epoch + 800n],
    ['before the epoch has just turned', 4_294_967_290, 3n * epoch + 5n, 3n * epoch - 6n],
    ['after the epoch has just turned', 5, 3n * epoch - 6n, 3n * epoch + 5n],
    ['at the bound', 2 ** 31, epoch, epoch - 2n ** 31n],
  ])('%s', (_when, xid, near, meant) => expect(widen(xid, near)).toBe(meant))
})

describe('a snapshot as the server writes it', () => {
  test.each([
    ['10:10:', [1n, 9n], [10n, 11n]],
    ['10:20:10,15', [9n, 11n, 14n, 16n, 19n], [10n, 15n, 20n, 2n ** 40n]],
    [
      '18446744073709551610:18446744073709551612:18446744073709551610',
      [18446744073709551611n],
      [18446744073709551610n],
    ],
  ])('%s sees what had ended', (snapshot, seen, unseen) => {
    expect(seen.filter(seenBy(snapshot))).toEqual(seen)
    expect(unseen.filter(seenBy(snapshot))).toEqual([])
  })
  test.each(['', '10:20', '10:x:', '10:20:1;2'])('any other text is refused: %j', (text) => {
    expect(() => seenBy(text)).toThrow('not a snapshot: ')
  })
})

describe('the changes of a transaction are held back until new snapshots see it', () => {
  function setup() {
    const clock = new ManualClock()
    const visible = new Set<bigint>()
    const server = { failure: undefined as unknown, questions: 0, isSlow: false, answer: () => {} }
    const delivered: string[] = []
    const failures: unknown[] = []
    const waiting = new UntilVisible<string>(
      async () => {
        server.questions += 1
        if (server.failure !== undefined) throw server.failure
        const seen = new Set(visible)
        if (server.isSlow) await new Promise<void>((resolve) => (server.answer = resolve))
        return (xid) => seen.has(xid)
      },
      (item) => void delivered.push(item),
      (error) => failures.push(error),
      clock,
    )
    return { clock, visible, delivered, failures, waiting, server }
  }

  test('delivery is immediate if visible; else asked again after 2 ms; after 10 ms if all was visible', async () => {
    const { clock, visible, delivered, waiting, server } = setup()
    visible.add(1n)
    waiting.add(1n, 'one')
    await settled()
    expect([delivered, server.questions]).toEqual([['one'], 1])
    waiting.add(2n, 'two')
    waiting.add(3n, 'three')
    clock.pass(9)
    await settled()
    expect(server.questions).toBe(1)
    clock.pass(1)
    await settled()
    expect([delivered, server.questions, waiting.size]).toEqual([['one'], 2, 2])
    visible.add(3n)
    clock.pass(2)
    await settled()
    expect(delivered).toEqual(['one', 'three'])
    visible.add(2n)
    clock.pass(2)
    await settled()
    expect([delivered, waiting.size]).toEqual([['one', 'three', 'two'], 0])
    clock.pass(10)
    await settled()
    expect([server.questions, clock.timers]).toEqual([4, 0])
  })

  test('transactions found visible together are delivered in the order of the commits', async () => {
    const { clock, visible, delivered, waiting } = setup()
    for (const xid of [5n, 9n, 2n]) waiting.add(xid, String(xid))
    await settled()
    for (const xid of [2n, 5n, 9n]) visible.add(xid)
    clock.pass(2)
    await settled()
    expect(delivered).toEqual(['5', '9', '2'])
  })

  test('a transaction added during a query waits for the query after it, and does not hasten that', async () => {
    const { clock, visible, delivered, waiting, server } = setup()
    server.isSlow = true
    visible.add(1n)
    waiting.add(1n, 'one')
    visible.add(2n)
    waiting.add(2n, 'two')
    server.isSlow = false
    server.answer()
    await settled()
    expect([delivered, waiting.size]).toEqual([['one'], 1])
    clock.pass(9)
    await settled()
    expect(server.questions).toBe(1)
    clock.pass(1)
    await settled()
    expect([delivered, server.questions]).toEqual([['one', 'two'], 2])
  })

  test('while nothing becomes visible, the server is asked less often, at least every tenth of a second', async () => {
    const { clock, waiting, server } = setup()
    waiting.add(1n, 'one')
    for (let i = 0; i < 10_000; i++) {
      await settled()
      clock.pass(1)
    }
    expect(server.questions).toBeLessThan(300)
    expect(server.questions).toBeGreaterThan(10_000 / 100)
  })

  test('if the server cannot be asked, following ends, and nothing is delivered', async () => {
    const { delivered, failures, waiting, server } = setup()
    server.failure = new Error('gone')
    waiting.add(1n, 'one')
    await settled()
    expect([failures, delivered]).toEqual([[server.failure], []])
  })
})

describe('a transaction in progress when a stream begins', () => {
  function setup() {
    const ended: bigint[] = []
    const unseen = new Unseen(async () => (xid) => ended.includes(xid))
    unseen.watch([1n, 2n])
    return { ended, unseen }
  }
  test('counts as missed if the stream does not show it before a heartbeat returns that was sent after its end', async () => {
    const { ended, unseen } = setup()
    await unseen.expect(1)
    ended.push(1n)
    expect(unseen.passed(1)).toBe(false)
    await unseen.expect(2)
    expect(unseen.passed(1)).toBe(false)
    expect([unseen.passed(2), unseen.passed(2), unseen.passed(3)]).toEqual([true, false, false])
  })
  test('does not count as missed if the stream shows it, before or after its end', async () => {
    const { ended, unseen } = setup()
    unseen.see(1n)
    ended.push(1n, 2n)
    await unseen.expect(1)
    unseen.see(2n)
    expect(unseen.passed(1)).toBe(false)
  })
})
