import type { MethodDefinition } from '@grpc/grpc-js'

export function asTheyAre(bytes: Buffer): Buffer {
  return bytes
}

const BYTES = {
  requestSerialize: asTheyAre,
  requestDeserialize: asTheyAre,
  responseSerialize: asTheyAre,
  responseDeserialize: asTheyAre,
} as const

/** A method of a fake service whose messages are bytes. */
export function bytesMethod(
  path: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> {
  return { path, requestStream, responseStream, ...BYTES }
}
