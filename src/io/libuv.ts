/**
 * The handles under net.Socket and TLSSocket, as Node's own net.js and tls.js use them. They are no public interface: this file names
 * all that is taken from them, and the pinned Node is the only one it has to fit.
 */
export interface StreamHandle {
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
}

/** Of a descriptor that it takes over: it closes it with the thread at the latest. */
export interface DescriptorHandle extends StreamHandle {
  open(fd: number): number
  /** The thread lives on for it, or not. */
  ref(): void
  unref(): void
}

export interface WriteRequest {
  /** Null: nobody is told. */
  oncomplete: ((this: WriteRequest, status: number) => void) | null
  /** Keeps the memory of a write alive that is under way; Node sets it. */
  buffer?: unknown
  /** -1: not under way. */
  getAsyncId(): number
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
}

interface HandleBinding {
  readonly TCP: new (type: number) => DescriptorHandle
  readonly Pipe: new (type: number) => DescriptorHandle
  readonly constants: { readonly SOCKET: number }
}

const binding = (process as unknown as { binding(name: string): unknown }).binding

const stream = binding('stream_wrap') as StreamWrap
export const { WriteWrap, streamBaseState: streamState, kReadBytesOrError } = stream

const tcp = binding('tcp_wrap') as HandleBinding
const pipe = binding('pipe_wrap') as HandleBinding

export function newTcp(): DescriptorHandle {
  return new tcp.TCP(tcp.constants.SOCKET)
}

export function newPipe(): DescriptorHandle {
  return new pipe.Pipe(pipe.constants.SOCKET)
}
