// What is known of a client's connection.
import type { ServerResponse } from 'node:http'
import type { ServerSocket } from '../unreadable-request.ts'
import type { Sender } from './upstream/fields.ts'

/** What is known of a connection. */
export interface ConnectionState {
  requests: number
  /** Requests that wait for their turn to begin. */
  waiting: number
  /** Requests that change something and have no answer yet. */
  changing: number
  /** It ends with the answer under way: a request was refused, or its content is read by nobody. What follows is not heard. */
  isEnding: boolean
  /** It ends with its next answer: somebody else takes this process's place. */
  isLast: boolean
  /** Who is at its other end, once somebody has asked. */
  sender: Sender | undefined
}

/** A connection of the listener: with what is known of it. */
export type HttpSocket = ServerSocket & { connectionState?: ConnectionState }

/**
 * What is known of the connection that a request came on. The listener asks for each as it begins: a property added later would make every
 * socket a thing of its own to the engine.
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

/** The response that is being written on a connection, where there is one. */
export function currentResponse({ socket }: { socket: HttpSocket }): ServerResponse | undefined {
  return socket._httpMessage ?? undefined
}
