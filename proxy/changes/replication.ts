// By logical replication: a temporary slot, a stream, what it tells.
import type { Clock } from '../clock.ts'
import { sqlState } from '../sql-state.ts'
import { tableTags } from '../tags.ts'
import { type CatalogSnapshot, publication } from './catalog.ts'
import { readFrame, readMessage, standbyStatus } from './pgoutput.ts'
import { type Client, connect, query } from './session.ts'
import { type Transaction, Transactions } from './transaction.ts'
import { type AskVisible, seenBy, Unseen, UntilVisible, widen } from './visibility.ts'

/** What a follower of the database tells as it goes. */
export interface StreamListener {
  changed(tags: readonly string[]): void
  /** Changes of any of the tables may have been missed. */
  missed(): void
  /** A heartbeat of this number has come back, with everything before it. */
  beat(number: number): void
  /** It is over: nothing more will be told. */
  failed(error: unknown): void
}

/** One method of following, under way. */
export interface ChangeStream {
  /** Sends a heartbeat. */
  beat(number: number): Promise<void>
  close(): Promise<void>
}

/**
 * After something has come, this long passes until the next is read, in milliseconds: small transactions that follow closely are taken together, which
 * leaves more of the machine to those who write them. What comes in larger pieces is read as it comes.
 */
const gather = { ms: 10, belowBytes: 65_536 }

/** SQLSTATE duplicate_object. */
const inUse = '42710'

/**
 * Follows the database by logical replication over a connection of its own, through the temporary slot `slot`: it is gone with its
 * connection, so that the server never keeps WAL for a process that is not there.
 *
 * Resolves to nothing when another session has that slot. Everything that is committed after it has resolved is told. Of what is
 * in progress at that moment, a commit may be in the WAL already, before the slot's begin, and not be visible yet: so what of
 * that ends without having been seen in the stream by the next heartbeat counts as missed.
 */
export async function followByReplication(options: {
  url: string
  slot: string
  sender: string
  control: Client
  seen(): CatalogSnapshot
  /** Looks at the catalog again. */
  refresh(): Promise<void>
  listener: StreamListener
  clock: Clock
  signal: AbortSignal
  visible?: AskVisible | undefined
}): Promise<ChangeStream | undefined> {
  const { control, listener, clock, sender, slot, signal } = options
  const stream = await connect(options.url, { replication: 'database', wal_sender_timeout: '10s' })
  let isOver = false
  const failed = (error: unknown) => {
    if (isOver) return
    isOver = true
    stream.connection.stream.destroy()
    listener.failed(error)
  }
  stream.on('error', failed)
  stream.on('end', () => failed(new Error('the server has ended the replication stream')))
  let recentXid = await newestXid(control)
  const hand = (tags: readonly string[], beats: readonly number[]) => {
    if (tags.length > 0) listener.changed(tags)
    for (const number of beats) {
      if (unseen.passed(number)) listener.missed()
      listener.beat(number)
    }
  }
  const lookUp = async ({ tags, unknown, beats }: Transaction) => {
    await options.refresh()
    const ofUnknown = [...unknown].flatMap((key) => changedTags(options.seen(), key))
    if (!isOver) hand([...tags, ...ofUnknown], beats)
  }
  const ask = options.visible ?? (() => visibleNow(control))
  const waiting = new UntilVisible<Transaction>(
    ask,
    (transaction) => {
      if (transaction.unknown.size > 0) return lookUp(transaction)
      if (!isOver) hand([...transaction.tags], transaction.beats)
      return undefined
    },
    failed,
    clock,
  )
  const transactions = new Transactions(options.seen, sender)
  const unseen = new Unseen(() => visibleNow(control))
  let position = 0n
  /** A transaction has ended in what has been read since the last pause. */
  let hasEnded = false
  const acknowledge = () => stream.connection.sendCopyFromChunk(standbyStatus(position))
  const take = (chunk: Buffer) => {
    const frame = readFrame(chunk)
    if (frame.kind === 'keepalive') {
      // With nothing half read, what has been sent is what has been taken.
      if (frame.walEnd > position && !transactions.isInside) position = frame.walEnd
      if (frame.isReplyWanted) acknowledge()
      return
    }
    const message = readMessage(frame.data)
    if (message.kind === 'commit') {
      position = message.end
      hasEnded = true
    }
    const transaction = transactions.take(message)
    if (transaction === undefined) return
    const xid = widen(transaction.xid, recentXid)
    unseen.see(xid)
    waiting.add(xid, transaction)
  }
  stream.connection.on('copyData', ({ chunk }) => {
    if (isOver) return
    try {
      take(chunk)
    } catch (error) {
      failed(error)
    }
  })

  const close = async () => {
    isOver = true
    await stream.end()
  }
  // Making the slot waits for transactions in progress, and the server does not notice there that nobody waits any more.
  const cancel = () => void control.query('select pg_terminate_backend($1)', [stream.processID]).catch(() => {})
  signal.addEventListener('abort', cancel, { once: true })
  try {
    await stream.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`)
  } catch (error) {
    await close()
    if (sqlState(error) === inUse) return undefined
    throw error
  } finally {
    signal.removeEventListener('abort', cancel)
  }
  const started = new Promise<void>((resolve) => stream.connection.once('replicationStart', resolve))
  const ended = stream.query(
    `START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names '${publication}', messages 'true')`,
  )
  ended.catch(failed)
  await Promise.race([started, ended])
  const { stream: socket } = stream.connection
  socket.on('data', ({ length }: Buffer) => {
    // Where no transaction has ended, the rest of one may be on its way.
    if (isOver || length >= gather.belowBytes || !hasEnded) return
    hasEnded = false
    socket.pause()
    clock.after(gather.ms, () => socket.resume())
  })
  unseen.watch(
    await writing(
      control,
      options.seen().found.map(({ oid }) => oid),
    ),
  )
  return {
    async beat(number) {
      await unseen.expect(number)
      const told = JSON.stringify({ beat: number, sender })
      const text = `select pg_logical_emit_message(true, 'onramp', $1), ${newest}`
      const [row] = await query<{ xid: string }>(control, text, [told])
      recentXid = BigInt(row?.xid ?? recentXid)
      if (!isOver) acknowledge()
    },
    close,
  }
}

function changedTags(seen: CatalogSnapshot, key: string): string[] {
  return (seen.relations.get(key) ?? []).flatMap(tableTags)
}

/** Transactions in progress that have written to `relations`, which their locks tell. */
async function writing(control: Client, relations: readonly string[]): Promise<bigint[]> {
  const rows = await query<{ xid: string }>(
    control,
    `select xid::text from pg_snapshot_xip(pg_current_snapshot()) xid where xid::xid in (
       select own.transactionid from pg_locks own join pg_locks written using (virtualtransaction)
       where own.locktype = 'transactionid' and written.locktype = 'relation' and written.relation = any ($1::oid[])
         and written.database = (select oid from pg_database where datname = current_database())
         and written.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))`,
    [relations],
  )
  return rows.map(({ xid }) => BigInt(xid))
}

const newest = 'pg_snapshot_xmax(pg_current_snapshot())::text as xid'

async function newestXid(control: Client): Promise<bigint> {
  const [row] = await query<{ xid: string }>(control, `select ${newest}`)
  return BigInt(row?.xid ?? 0)
}

async function visibleNow(control: Client): Promise<(xid: bigint) => boolean> {
  const text = 'select pg_current_snapshot()::text as snapshot'
  const [row] = await query<{ snapshot: string }>(control, text, [], 'snapshot')
  return seenBy(row?.snapshot ?? '')
}
