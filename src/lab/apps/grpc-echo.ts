import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { ECHO_SERVICE, type Echo } from './echo-service.ts'

const MAX_COUNT = 1000

/** gRPC echo: each of the four kinds of call. */
export function startGrpcEcho(version: string, port: number, host: string): void {
  const server = new Server()
  server.addService(ECHO_SERVICE, {
    Unary: (call: ServerUnaryCall<Echo, Echo>, done: sendUnaryData<Echo>) =>
      done(null, { text: call.request.text, version }),
    ServerStream: (call: ServerWritableStream<Echo, Echo>) => {
      const count = Math.min(call.request.count ?? 1, MAX_COUNT)
      for (let i = 1; i <= count; i++) call.write({ text: `${call.request.text} ${i}`, version })
      call.end()
    },
    ClientStream: (call: ServerReadableStream<Echo, Echo>, done: sendUnaryData<Echo>) => {
      const texts: string[] = []
      call.on('data', (message: Echo) => {
        if (texts.length < MAX_COUNT) texts.push(message.text)
      })
      call.on('end', () => done(null, { text: texts.join(', '), count: texts.length, version }))
    },
    Bidi: (call: ServerDuplexStream<Echo, Echo>) => {
      call.on('data', (message: Echo) => call.write({ text: message.text, version }))
      call.on('end', () => call.end())
    },
  })
  server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), error => {
    if (error !== null) throw error
    process.stdout.write(`grpc echo listens on ${host}:${port}\n`)
  })
  process.on('SIGTERM', () => process.exit(0))
}
