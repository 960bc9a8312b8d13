/**
 * The handles under net.Socket, as Node's own net.js uses them. They are no public interface: this file names all that is
 * taken from them, and the pinned Node is the only one it has to fit (test/unit/io/handle-stream.test.ts).
 */
export interface StreamHandle {
  readonly fd: number
  /** Bytes that wait for the descriptor to take them. */
  readonly writeQueueSize: number
  onread: (this: StreamHandle) => void
  readStart(): number
  readStop(): number
  /** Reads go there from now on; `streamState[kReadBytesOrError]` says how many. */
  useUserBuffer(buffer: Uint8Array): void
  /** 0 or a negative errno. */
  writeLatin1String(request: WriteRequest, text: string): number
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number
  /** `onlyBytes` false: pieces and their encodings take turns. */
  writev(request: WriteRequest, pieces: readonly unknown[], onlyBytes: boolean): number
  /** 1: done at once. */
  shutdown(request: Request): number
  close(done: (this: StreamHandle) => void): void
}

export interface TcpHandle extends StreamHandle {
  open(fd: number): number
  bind(ip: string, port: number): number
  bind6(ip: string, port: number, flags: number): number
  connect(request: Request, ip: string, port: number): number
  connect6(request: Request, ip: string, port: number): number
  getpeername(out: SocketName): number
  getsockname(out: SocketName): number
  setNoDelay(on: boolean): number
  setKeepAlive(on: boolean, idle: number, interval?: number, probes?: number): number
  reset(done: (this: StreamHandle) => void): number
}

export interface PipeHandle extends StreamHandle {
  open(fd: number): number
  connect(request: Request, path: string): number
}

export interface SocketName {
  address?: string
  port?: number
}

export interface Request {
  oncomplete: (this: Request, status: number) => void
}

export interface WriteRequest {
  /** Null: nobody is told. */
  oncomplete: ((this: WriteRequest, status: number) => void) | null
  /** These two keep the memory of a write alive that is under way; Node sets `buffer`. */
  pieces?: readonly unknown[]
  buffer?: unknown
  /** -1: not under way. */
  getAsyncId(): number
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest
  readonly ShutdownWrap: new () => Request
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteWasAsync: number
}

interface TcpWrap {
  readonly TCP: new (type: number) => TcpHandle
  readonly TCPConnectWrap: new () => Request
  readonly constants: { readonly SOCKET: number }
}

interface PipeWrap {
  readonly Pipe: new (type: number) => PipeHandle
  readonly PipeConnectWrap: new () => Request
  readonly constants: { readonly SOCKET: number }
}

const binding = (process as unknown as { binding(name: string): unknown }).binding

const stream = binding('stream_wrap') as StreamWrap
export const { WriteWrap, ShutdownWrap, streamBaseState: streamState, kReadBytesOrError, kLastWriteWasAsync } = stream

const tcp = binding('tcp_wrap') as TcpWrap
const pipe = binding('pipe_wrap') as PipeWrap
export const { TCPConnectWrap } = tcp
export const { PipeConnectWrap } = pipe

export function newTcp(): TcpHandle {
  return new tcp.TCP(tcp.constants.SOCKET)
}

export function newPipe(): PipeHandle {
  return new pipe.Pipe(pipe.constants.SOCKET)
}

export function isTcp(handle: StreamHandle): handle is TcpHandle {
  return handle instanceof tcp.TCP
}

/** libuv's UV_EOF. */
export const UV_EOF = -4095
