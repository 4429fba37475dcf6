// The interface of a change stream, and of its listener.

/** A stream of changes, by replication or by notifications. */
export interface ChangeStream {
  /** Sends a heartbeat, which takes the same way as changes. */
  sendHeartbeat(number: number): Promise<void>
  close(): Promise<void>
}

/** Receives the reports of a change stream. */
export interface StreamListener {
  changed(tags: readonly string[]): void
  /** Changes of any followed table may have been missed. */
  missed(): void
  /** The heartbeat `number` has returned, so everything before it has been reported. */
  heartbeatReturned(number: number): void
  /** The stream has ended: nothing more will be reported. */
  failed(error: unknown): void
}
