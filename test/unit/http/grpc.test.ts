import t from 'tap'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import {
  encodeGrpcMessage,
  grpcTimeout,
  grpcToHttpStatus,
  hasGrpcContentType,
  httpToGrpcStatus,
  isGrpcRequest,
} from '../../../src/http/grpc.ts'

function block(name: string, value: string): HeaderBlock {
  const h = new HeaderBlock()
  h.path = '/'
  h.push(name, value)
  return h
}

t.test('application/grpc with a suffix or parameters is gRPC, grpc-web is not', async t => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc;x=1'])
    t.ok(hasGrpcContentType(block('content-type', type)), type)
  for (const type of ['application/grpc-web', 'application/grpcx', 'text/plain'])
    t.notOk(hasGrpcContentType(block('content-type', type)), type)
})

t.test('a CONNECT without path is no gRPC request', async t => {
  const h = block('content-type', 'application/grpc')
  t.ok(isGrpcRequest(h))
  h.path = ''
  t.notOk(isGrpcRequest(h))
})

t.test('local replies translate their HTTP status', async t => {
  const table = { 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 418: 2 }
  for (const [http, grpc] of Object.entries(table)) t.equal(httpToGrpcStatus(Number(http)), grpc, http)
})

t.test('grpc-status translates to an HTTP status for outlier detection; unknown codes are 500', async t => {
  const table = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
  for (const [grpc, http] of table.entries()) t.equal(grpcToHttpStatus(grpc), http, String(grpc))
  t.equal(grpcToHttpStatus(99), 500)
  t.equal(grpcToHttpStatus(Number.NaN), 500)
})

t.test('a message is percent-encoded outside printable ASCII', async t => {
  t.equal(encodeGrpcMessage('a b%\n\xe9'), 'a b%25%0A%E9')
})

t.test('grpc-timeout takes eight digits and a unit, and nothing else', async t => {
  const table: Record<string, number> = {
    '1H': 3600000,
    '2M': 120000,
    '3S': 3000,
    '4m': 4,
    '1500u': 2,
    '1n': 1,
    '0m': 0,
  }
  for (const [text, ms] of Object.entries(table)) t.equal(grpcTimeout(block('grpc-timeout', text)), ms, text)
  for (const text of ['', '5', 'S', '123456789m', '-1S', '1s', '1.5S'])
    t.equal(grpcTimeout(block('grpc-timeout', text)), -1, text)
  t.equal(grpcTimeout(block('x', '1S')), -1)
})
