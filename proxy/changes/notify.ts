// Following by notifications that triggers send.
import { expandTags } from '../tags.ts'
import type { CatalogWatch } from './catalog-watch.ts'
import { type Client, query } from './session.ts'
import type { ChangeStream, StreamListener } from './stream.ts'
import { readNotice } from './transaction.ts'
import { notifyChannel } from './triggers.ts'

export interface NotificationOptions {
  control: Client
  /** Distinguishes its heartbeats from those of others. */
  sender: string
  watch: CatalogWatch
  listener: StreamListener
}

/**
 * Follows the database by notifications, on the session `control`.
 *
 * PostgreSQL delivers a notification once its transaction is visible, in the order of the commits, and never again: one
 * sent while nobody listens is lost. So each heartbeat takes the same way: it returns after all notifications before
 * it.
 */
export async function followByNotify({ control, sender, watch, listener }: NotificationOptions): Promise<ChangeStream> {
  const received = ({ payload = '' }: { payload?: string | undefined }) => {
    const { tags, changed, heartbeat } = readNotice(payload)
    const all = new Set([...changed, ...expandTags(tags, watch.catalog.tables)])
    if (all.size > 0) listener.changed([...all])
    if (heartbeat?.sender === sender) listener.heartbeatReturned(heartbeat.number)
  }
  control.on('notification', received)
  await query(control, `listen ${notifyChannel}`)
  return {
    async sendHeartbeat(number) {
      await query(control, `select pg_notify('${notifyChannel}', $1)`, [JSON.stringify({ beat: number, sender })])
    },
    async close() {
      control.off('notification', received)
    },
  }
}
