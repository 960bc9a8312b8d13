import type { ServiceDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'

/** The messages of the lab's gRPC service; the same text is what `grpcurl -proto` needs. */
export const ECHO_PROTO = `syntax = "proto3";
package remora.lab;

message Echo {
  string text = 1;
  // How many answers a streaming call wants.
  uint32 count = 2;
  // Who answered.
  string version = 3;
}

service EchoService {
  rpc Unary(Echo) returns (Echo);
  rpc ServerStream(Echo) returns (stream Echo);
  rpc ClientStream(stream Echo) returns (Echo);
  rpc Bidi(stream Echo) returns (stream Echo);
}
`

export interface Echo {
  readonly text: string
  readonly count?: number
  readonly version?: string
}

const type = protobuf.parse(ECHO_PROTO).root.lookupType('remora.lab.Echo')

function method(name: string, requestStream: boolean, responseStream: boolean): ServiceDefinition[string] {
  const serialize = (value: Echo): Buffer => Buffer.from(type.encode(type.create(value)).finish())
  const deserialize = (bytes: Buffer): Echo => type.toObject(type.decode(bytes)) as Echo
  return {
    path: `/remora.lab.EchoService/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  }
}

export const ECHO_SERVICE = {
  Unary: method('Unary', false, false),
  ServerStream: method('ServerStream', false, true),
  ClientStream: method('ClientStream', true, false),
  Bidi: method('Bidi', true, true),
} satisfies ServiceDefinition
