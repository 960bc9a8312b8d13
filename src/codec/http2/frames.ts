declare global {
  /** Node's unchecked string primitives, which its types leave out; `toString` and `write` cost twice as much. */
  interface Buffer {
    latin1Slice(start: number, end: number): string
    latin1Write(text: string, offset: number, length: number): number
  }
}

/** HTTP/2 frame types (RFC 9113 §6). */
export const FrameType = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  PushPromise: 5,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
  Continuation: 9,
} as const

export const Flag = { EndStream: 1, Ack: 1, EndHeaders: 4, Padded: 8, Priority: 0x20 } as const

/** Error codes (RFC 9113 §7). */
export const ErrorCode = {
  NoError: 0,
  ProtocolError: 1,
  InternalError: 2,
  FlowControlError: 3,
  SettingsTimeout: 4,
  StreamClosed: 5,
  FrameSizeError: 6,
  RefusedStream: 7,
  Cancel: 8,
  CompressionError: 9,
  ConnectError: 10,
  EnhanceYourCalm: 11,
} as const
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode]

/** SETTINGS identifiers (RFC 9113 §6.5.2, RFC 8441 §3). */
export const Setting = {
  HeaderTableSize: 1,
  EnablePush: 2,
  MaxConcurrentStreams: 3,
  InitialWindowSize: 4,
  MaxFrameSize: 5,
  MaxHeaderListSize: 6,
  EnableConnectProtocol: 8,
} as const

export const FRAME_HEAD = 9
/** SETTINGS_MAX_FRAME_SIZE until told otherwise; also what we accept, since we never announce more. */
export const DEFAULT_MAX_FRAME_SIZE = 16384
export const LARGEST_FRAME_SIZE = 0xffffff
export const MAX_STREAM_ID = 0x7fffffff
export const DEFAULT_WINDOW = 65535

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** Writes the nine octets of a frame head at `at`. */
export function writeFrameHead(
  to: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  to[at] = length >>> 16
  to[at + 1] = length >>> 8
  to[at + 2] = length
  to[at + 3] = type
  to[at + 4] = flags
  writeUint32(to, at + 5, stream)
}

export function writeUint32(to: Uint8Array, at: number, value: number): void {
  to[at] = value >>> 24
  to[at + 1] = value >>> 16
  to[at + 2] = value >>> 8
  to[at + 3] = value
}

export function readUint32(from: Uint8Array, at: number): number {
  return ((from[at]! << 24) | (from[at + 1]! << 16) | (from[at + 2]! << 8) | from[at + 3]!) >>> 0
}

/** `PRI * HTTP/2` (RFC 9113 §3.4); three bytes decide, no method of HTTP/1 begins with them. */
export function startsWithPreface(bytes: Uint8Array): boolean {
  return bytes.length >= 3 && bytes[0] === 80 && bytes[1] === 82 && bytes[2] === 73
}
