// Following by logical replication: a temporary slot, its stream, and the reports from it.
import type { Clock } from '../clock.ts'
import { sqlState } from '../sql-state.ts'
import { tableTags } from '../tags.ts'
import { publication } from './catalog.ts'
import type { CatalogWatch } from './catalog-watch.ts'
import { readFrame, readMessage, standbyStatus } from './pgoutput.ts'
import { type Client, connect, query } from './session.ts'
import type { ChangeStream, StreamListener } from './stream.ts'
import { type Transaction, Transactions } from './transaction.ts'
import { type AskVisible, seenBy, Unseen, UntilVisible, widen } from './visibility.ts'

/**
 * After data with the end of a transaction, the stream is not read for `ms` milliseconds. So small transactions that
 * follow closely are read together, which leaves more of the machine to the writers. Data of `belowBytes` or more
 * causes no pause.
 */
const gather = { ms: 10, belowBytes: 65_536 }

/** SQLSTATE duplicate_object. */
const inUse = '42710'

export interface ReplicationOptions {
  url: string
  slot: string
  /** Distinguishes its heartbeats from those of others. */
  sender: string
  /** Another session, for queries on what the stream does not show. */
  control: Client
  watch: CatalogWatch
  listener: StreamListener
  clock: Clock
  signal: AbortSignal
  visible?: AskVisible | undefined
}

/**
 * Follows the database by logical replication over a connection of its own, through the temporary slot `slot`. The slot
 * ends with its connection, so the server never keeps WAL for a process that is gone.
 */
export class ReplicationStream implements ChangeStream {
  readonly #options: ReplicationOptions
  readonly #connection: Client
  readonly #transactions: Transactions
  /** Committed, and not yet visible to every new snapshot. */
  readonly #pending: UntilVisible<Transaction>
  readonly #unseen: Unseen
  /** A transaction id that the server has reported recently. */
  #recentXid = 0n
  /** Everything up to here in the WAL has been taken. */
  #position = 0n
  /** A transaction has ended since the last pause. */
  #hasEnded = false
  #isOver = false

  /**
   * Resolves to nothing when another session has the slot. Every transaction that commits after this has resolved is
   * reported.
   *
   * Transactions in progress at that moment may be missed:
   *   1. a commit is written to the WAL before the slot begins, and is not visible yet
   *   2. the slot begins after it, so the stream never shows the transaction
   *   3. the commit becomes visible: the transaction has ended without having been seen
   *   4. the next heartbeat is sent and returns: the transaction counts as missed (one that was rolled back too: the two
   *      cannot be told apart)
   */
  static async open(options: ReplicationOptions): Promise<ReplicationStream | undefined> {
    const connection = await connect(options.url, { replication: 'database', wal_sender_timeout: '10s' })
    const stream = new ReplicationStream(options, connection)
    try {
      return (await stream.#begin()) ? stream : undefined
    } catch (error) {
      stream.#cut() // else it would hold the slot without following
      throw error
    }
  }

  private constructor(options: ReplicationOptions, connection: Client) {
    const { control, watch, sender, clock } = options
    this.#options = options
    this.#connection = connection
    this.#transactions = new Transactions(() => watch.catalog, sender)
    this.#unseen = new Unseen(() => visibleNow(control))
    this.#pending = new UntilVisible(
      options.visible ?? (() => visibleNow(control)),
      (transaction) => this.#deliver(transaction),
      (error) => this.#fail(error),
      clock,
    )
    connection.on('error', (error) => this.#fail(error))
    connection.on('end', () => this.#fail(new Error('the server ended the replication stream')))
    connection.connection.on('copyData', ({ chunk }) => this.#take(chunk))
  }

  async sendHeartbeat(number: number): Promise<void> {
    await this.#unseen.expect(number)
    const { control, sender } = this.#options
    const text = `select pg_logical_emit_message(true, 'onramp', $1), ${newest}`
    const [row] = await query<{ xid: string }>(control, text, [JSON.stringify({ beat: number, sender })])
    this.#recentXid = BigInt(row?.xid ?? this.#recentXid)
    if (!this.#isOver) this.#acknowledge()
  }

  async close(): Promise<void> {
    this.#isOver = true
    await this.#connection.end()
  }

  /** Resolves to whether the stream has begun: not if another session has the slot. */
  async #begin(): Promise<boolean> {
    const { control, watch } = this.#options
    this.#recentXid = await newestXid(control)
    if (!(await this.#makeSlot())) return false
    await this.#start()
    this.#gather()
    const relations = watch.catalog.found.map(({ oid }) => oid)
    this.#unseen.watch(await writing(control, relations))
    return true
  }

  /** Resolves to whether the slot was made: not if another session has it. */
  async #makeSlot(): Promise<boolean> {
    const { control, slot, signal } = this.#options
    // Making the slot waits for transactions in progress. Meanwhile the server does not notice that its client is gone.
    const { processID } = this.#connection
    const cancel = () => void control.query('select pg_terminate_backend($1)', [processID]).catch(() => {})
    signal.addEventListener('abort', cancel, { once: true })
    try {
      await this.#connection.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`)
      return true
    } catch (error) {
      await this.close()
      if (sqlState(error) === inUse) return false
      throw error
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  async #start(): Promise<void> {
    const { connection } = this.#connection
    const started = new Promise<void>((resolve) => connection.once('replicationStart', resolve))
    const ended = this.#connection.query(
      `START_REPLICATION SLOT ${this.#options.slot} LOGICAL 0/0 (proto_version '1', publication_names '${publication}', messages 'true')`,
    )
    ended.catch((error) => this.#fail(error))
    await Promise.race([started, ended])
  }

  /** Lets small transactions that follow closely be read together. */
  #gather(): void {
    const { stream: socket } = this.#connection.connection
    socket.on('data', ({ length }: Buffer) => {
      // No transaction has ended: the rest of one may be on its way.
      if (this.#isOver || length >= gather.belowBytes || !this.#hasEnded) return
      this.#hasEnded = false
      socket.pause()
      this.#options.clock.after(gather.ms, () => socket.resume())
    })
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      this.#takeFrame(chunk)
    } catch (error) {
      this.#fail(error)
    }
  }

  #takeFrame(chunk: Buffer): void {
    const frame = readFrame(chunk)
    if (frame.kind === 'keepalive') {
      // Outside a transaction, everything that was sent has been taken.
      if (frame.walEnd > this.#position && !this.#transactions.isInside) this.#position = frame.walEnd
      if (frame.isReplyWanted) this.#acknowledge()
      return
    }
    const message = readMessage(frame.data)
    if (message.kind === 'commit') {
      this.#position = message.end
      this.#hasEnded = true
    }
    const transaction = this.#transactions.take(message)
    if (transaction === undefined) return
    const xid = widen(transaction.xid, this.#recentXid)
    this.#unseen.see(xid)
    this.#pending.add(xid, transaction)
  }

  /** Tells the server which WAL it need not keep. */
  #acknowledge(): void {
    this.#connection.connection.sendCopyFromChunk(standbyStatus(this.#position))
  }

  /** Reports a transaction that every new snapshot sees. */
  #deliver({ tags, unknown, heartbeats }: Transaction): Promise<void> | undefined {
    if (unknown.size > 0) return this.#lookUp(tags, unknown, heartbeats)
    this.#tell([...tags], heartbeats)
    return undefined
  }

  /** The same for a transaction with changed relations that the catalog did not show: reads the catalog again first. */
  async #lookUp(tags: Set<string>, unknown: Set<string>, heartbeats: readonly number[]): Promise<void> {
    const { watch } = this.#options
    await watch.refresh()
    const ofUnknown = [...unknown].flatMap((key) => (watch.catalog.relations.get(key) ?? []).flatMap(tableTags))
    this.#tell([...tags, ...ofUnknown], heartbeats)
  }

  #tell(tags: readonly string[], heartbeats: readonly number[]): void {
    if (this.#isOver) return
    const { listener } = this.#options
    if (tags.length > 0) listener.changed(tags)
    for (const number of heartbeats) {
      if (this.#unseen.passed(number)) listener.missed()
      listener.heartbeatReturned(number)
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#cut()
    this.#options.listener.failed(error)
  }

  #cut(): void {
    this.#isOver = true
    this.#connection.connection.stream.destroy()
  }
}

/** Transactions in progress that have written to `relations`, according to their locks. */
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
