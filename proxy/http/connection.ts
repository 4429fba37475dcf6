// The state of a client's connection.
import type { ServerResponse } from 'node:http'
import type { ServerSocket } from '../unreadable-request.ts'
import type { Sender } from './upstream/fields.ts'

/** The state of a connection. */
export interface ConnectionState {
  requests: number
  /** Requests waiting for the scheduler. */
  waiting: number
  /** Requests with an unsafe method that have no response yet. */
  changing: number
  /**
   * The connection closes after the current response: a request was rejected, or its content is not read. Later
   * requests are ignored.
   */
  isEnding: boolean
  /** The connection closes after its next response: another process takes over from this one. */
  isLast: boolean
  /** The sender at the other end, set when it is first needed. */
  sender: Sender | undefined
}

/** A connection of the listener, with its state. */
export type HttpSocket = ServerSocket & { connectionState?: ConnectionState }

/**
 * The state of the connection that a request arrived on. The listener creates it for each connection at once: a
 * property added later would give every socket a hidden class of its own.
 */
export function connectionStateOf({ socket }: { socket: HttpSocket }): ConnectionState {
  socket.connectionState ??= {
    requests: 0,
    waiting: 0,
    changing: 0,
    isEnding: false,
    isLast: false,
    sender: undefined,
  }
  return socket.connectionState
}

/** The response currently written on a connection, if there is one. */
export function currentResponse({ socket }: { socket: HttpSocket }): ServerResponse | undefined {
  return socket._httpMessage ?? undefined
}
