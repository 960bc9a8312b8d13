import net from 'node:net'
import type tls from 'node:tls'

/** What a socket tells its connection. The listeners below are shared by all sockets: no closure per connection. */
export interface SocketOwner {
  onSocketConnected(): void
  onSecure(): void
  /** `length` bytes are in the loop's read buffer. False stops reading. */
  onRead(length: number): boolean
  onBytes(chunk: Uint8Array): void
  onEnd(): void
  onError(error: NodeJS.ErrnoException): void
  onGone(): void
}

const OWNER = Symbol('owner')
type Owned = { [OWNER]: SocketOwner }

export function adopt(socket: net.Socket, owner: SocketOwner): void {
  ;(socket as unknown as Owned)[OWNER] = owner
  socket.on('connect', onConnect)
  socket.on('end', onEnd)
  socket.on('error', onError)
  socket.on('close', onClose)
}

/** On top of `adopt`. `buffer`: where decrypted bytes go; the one that `onRead` reports on. */
export function adoptTls(socket: tls.TLSSocket, buffer: Buffer): void {
  socket.on('secure', onSecure)
  // Until this is said, an error after the handshake (a record that is no good) ends nothing: tls.Server and tls.connect say it.
  ;(socket as unknown as { _releaseControl(): boolean })._releaseControl()
  if (!readInto(socket, buffer)) socket.on('data', onData)
}

/**
 * The `onread` option, which node:tls passes on only when it makes the TCP socket itself. Without it every read allocates an
 * ArrayBuffer and goes through the stream: 5 µs of a request on TLS. False where this Node keeps it elsewhere: `data` events then.
 */
function readInto(socket: tls.TLSSocket, buffer: Buffer): boolean {
  const handle = (socket as unknown as { _handle: { useUserBuffer?(buffer: Buffer): void } | null })._handle
  if (BUFFER === undefined || CALLBACK === undefined || handle?.useUserBuffer === undefined) return false
  const slots = socket as unknown as Record<symbol, unknown>
  slots[BUFFER] = buffer
  slots[CALLBACK] = onRead
  handle.useUserBuffer(buffer)
  return true
}

/** The TCP socket under TLS: the TLS socket reports its end; errors still need a listener. */
export function disown(socket: net.Socket): void {
  socket.off('connect', onConnect)
  socket.off('end', onEnd)
  socket.off('close', onClose)
}

/** For a socket that will have no owner. */
export function discard(socket: net.Socket): void {
  socket.on('error', ignore)
  socket.destroy()
}

/** `onread` callback of plain sockets. */
export function onRead(this: unknown, length: number): boolean {
  return (this as Owned)[OWNER].onRead(length)
}

function onConnect(this: unknown): void {
  ;(this as Owned)[OWNER].onSocketConnected()
}

function onSecure(this: unknown): void {
  ;(this as Owned)[OWNER].onSecure()
}

function onData(this: unknown, chunk: Buffer): void {
  ;(this as Owned)[OWNER].onBytes(chunk)
}

function onEnd(this: unknown): void {
  ;(this as Owned)[OWNER].onEnd()
}

function onError(this: unknown, error: NodeJS.ErrnoException): void {
  ;(this as Owned)[OWNER].onError(error)
}

function onClose(this: unknown): void {
  ;(this as Owned)[OWNER].onGone()
}

function ignore(): void {}

/** Where net.Socket keeps its `onread` option. */
const SYMBOLS = Object.getOwnPropertySymbols(new net.Socket())
const BUFFER = SYMBOLS.find(s => s.description === 'kBuffer')
const CALLBACK = SYMBOLS.find(s => s.description === 'kBufferCb')
