// One method of following the database, and what it tells.

/** One method of following, under way. */
export interface ChangeStream {
  /** Sends a heartbeat, which takes the way that changes take. */
  sendHeartbeat(number: number): Promise<void>
  close(): Promise<void>
}

/** What a stream of changes tells as it goes. */
export interface StreamListener {
  changed(tags: readonly string[]): void
  /** Changes of any of the tables may have been missed. */
  missed(): void
  /** The heartbeat of this number has come back, with everything before it. */
  heartbeatReturned(number: number): void
  /** It is over: nothing more will be told. */
  failed(error: unknown): void
}
