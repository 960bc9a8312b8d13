/**
 * Requests made to be read differently by two parsers. `@` stands for the path of the case, so that what the upstream
 * sees can be told apart; a request for `@/smuggled` is one the client did not legitimately send.
 */
const cases: Record<string, string> = {}

const HEAD = 'POST @ HTTP/1.1\r\nHost: x\r\n'
const SMUGGLED = 'GET @/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
const SECOND = 'GET @/second HTTP/1.1\r\nHost: x\r\n\r\n'
const INSIDE = `0\r\n\r\n${SMUGGLED}`
const lengthOf = (body: string, path: number): number => body.replaceAll('@', '/'.padEnd(path, 'c')).length
/** Paths are `/c000`: five bytes. */
const INSIDE_LENGTH = lengthOf(INSIDE, 5)

cases['CL.TE: the length ends inside, chunked before'] =
  `${HEAD}Content-Length: ${INSIDE_LENGTH}\r\nTransfer-Encoding: chunked\r\n\r\n${INSIDE}`
cases['TE.CL: the length ends in the first chunk'] =
  `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2b\r\n${SMUGGLED}\r\n0\r\n\r\n`

const encodings: Record<string, string> = {
  'unknown coding': 'Transfer-Encoding: xchunked',
  'blank before the colon': 'Transfer-Encoding : chunked',
  'tab before the colon': 'Transfer-Encoding\t: chunked',
  'tab after the colon': 'Transfer-Encoding:\tchunked',
  'nothing after the colon': 'Transfer-Encoding:chunked',
  'blank at the end': 'Transfer-Encoding: chunked ',
  'chunked, then another field with an unknown coding': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: x',
  'unknown coding, then another field with chunked': 'Transfer-Encoding: x\r\nTransfer-Encoding: chunked',
  'chunked twice': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'chunked twice in one field': 'Transfer-Encoding: chunked, chunked',
  'chunked not last': 'Transfer-Encoding: chunked, identity',
  'identity before chunked': 'Transfer-Encoding: identity, chunked',
  'gzip before chunked': 'Transfer-Encoding: gzip, chunked',
  'identity alone': 'Transfer-Encoding: identity',
  empty: 'Transfer-Encoding:',
  'in capitals': 'TRANSFER-ENCODING: CHUNKED',
  'in quotes': 'Transfer-Encoding: "chunked"',
  'with a parameter': 'Transfer-Encoding: chunked;foo=bar',
  'vertical tab at the end': 'Transfer-Encoding: chunked\x0b',
  'form feed at the front': 'Transfer-Encoding: \x0cchunked',
  'NUL inside': 'Transfer-Encoding: chun\0ked',
  'NUL at the front': 'Transfer-Encoding: \0chunked',
  'bare CR at the end': 'Transfer-Encoding: chunked\r',
  'bare CR before the name': 'Foo: bar\rTransfer-Encoding: chunked',
  'bare LF before the name': 'Foo: bar\nTransfer-Encoding: chunked',
  'underscore in the name': 'Transfer_Encoding: chunked',
  'leading blank on the first field': ' Transfer-Encoding: chunked',
  'folded value': 'Transfer-Encoding:\r\n chunked',
  'folded second coding': 'Transfer-Encoding: chunked\r\n , identity',
  'folded onto a field before': 'Foo: bar\r\n Transfer-Encoding: chunked',
  'name broken by a line end': 'Transfer-Encoding\r\n: chunked',
  'high byte at the end of the name': 'Transfer-Encoding\xa0: chunked',
  'high byte in the value': 'Transfer-Encoding: \xa0chunked',
}
for (const [name, line] of Object.entries(encodings)) {
  cases[`TE and CL, ${name}`] = `${HEAD}Content-Length: ${INSIDE_LENGTH}\r\n${line}\r\n\r\n${INSIDE}`
  cases[`TE alone, ${name}`] = `${HEAD}${line}\r\n\r\n0\r\n\r\n${SECOND}`
}

const lengths: Record<string, string> = {
  'twice the same': 'Content-Length: 5\r\nContent-Length: 5',
  'twice, different': 'Content-Length: 5\r\nContent-Length: 0',
  'twice in one field': 'Content-Length: 5, 5',
  'two values in one field': 'Content-Length: 5, 0',
  'with a plus': 'Content-Length: +5',
  negative: 'Content-Length: -5',
  hexadecimal: 'Content-Length: 0x5',
  'with leading zeros': 'Content-Length: 005',
  'with an exponent': 'Content-Length: 5e0',
  'with a fraction': 'Content-Length: 5.0',
  'with an inner blank': 'Content-Length: 5 0',
  'with a letter behind': 'Content-Length: 5x',
  empty: 'Content-Length:',
  'over 64 bits': 'Content-Length: 18446744073709551621',
  'over 63 bits': 'Content-Length: 9223372036854775813',
  'blank before the colon': 'Content-Length : 5',
  'underscore in the name': 'Content_Length: 5',
  'with a fold': 'Content-Length: 5\r\n 0',
  'folded value': 'Content-Length:\r\n 5',
  'NUL behind': 'Content-Length: 5\0',
  'tab around': 'Content-Length:\t5\t',
  'named by Connection': 'Connection: content-length\r\nContent-Length: 5',
  'named by Connection, with close': 'Connection: close, content-length\r\nContent-Length: 5',
}
for (const [name, line] of Object.entries(lengths)) {
  cases[`CL ${name}`] = `${HEAD}${line}\r\n\r\nhello${SECOND}`
}

const bodies: Record<string, string> = {
  'an extension': '5;a=b\r\nhello\r\n0\r\n\r\n',
  'a quoted extension': '5;a="b;c"\r\nhello\r\n0\r\n\r\n',
  'LF in an extension': `5;a\nhello\r\n0\r\n\r\n`,
  'CR in an extension': `5;a\rb\r\nhello\r\n0\r\n\r\n`,
  'an extension of 20,000 bytes': `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
  'an extension of the last chunk': '5\r\nhello\r\n0;a\r\n\r\n',
  'a blank behind the size': '5 \r\nhello\r\n0\r\n\r\n',
  'a blank and text behind the size': '5 x\r\nhello\r\n0\r\n\r\n',
  'a blank before the size': ' 5\r\nhello\r\n0\r\n\r\n',
  'a tab behind the size': '5\t\r\nhello\r\n0\r\n\r\n',
  '0x before the size': '0x5\r\nhello\r\n0\r\n\r\n',
  'a minus before the size': '-5\r\nhello\r\n0\r\n\r\n',
  'a plus before the size': '+5\r\nhello\r\n0\r\n\r\n',
  'no size': '\r\nhello\r\n0\r\n\r\n',
  'leading zeros': '0000000000000005\r\nhello\r\n0\r\n\r\n',
  'many leading zeros': `${'0'.repeat(64)}5\r\nhello\r\n0\r\n\r\n`,
  'a size over 64 bits that wraps to 5': '10000000000000005\r\nhello\r\n0\r\n\r\n',
  'a size of 64 bits': 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n',
  'a size of 63 bits': '7fffffffffffffff\r\nhello\r\n0\r\n\r\n',
  'bare LF lines': '5\nhello\n0\n\n',
  'bare LF behind the size': '5\nhello\r\n0\r\n\r\n',
  'bare LF behind the data': '5\r\nhello\n0\r\n\r\n',
  'bare LF at the end': '5\r\nhello\r\n0\n\n',
  'bare CR behind the size': '5\rhello\r\n0\r\n\r\n',
  'bare CR behind the data': '5\r\nhello\r0\r\n\r\n',
  'more data than its size': '5\r\nhelloworld\r\n0\r\n\r\n',
  'no line end behind the data': '5\r\nhello0\r\n\r\n',
  'two line ends behind the data': '5\r\nhello\r\n\r\n0\r\n\r\n',
  'several zeros as the last size': '5\r\nhello\r\n000\r\n\r\n',
  'a trailer': '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
  'Content-Length as a trailer': '5\r\nhello\r\n0\r\nContent-Length: 60\r\n\r\n',
  'Transfer-Encoding as a trailer': '5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n',
  'Host as a trailer': '5\r\nhello\r\n0\r\nHost: y\r\n\r\n',
  'Connection as a trailer': '5\r\nhello\r\n0\r\nConnection: close\r\n\r\n',
  'a trailer without colon': '5\r\nhello\r\n0\r\nX-T\r\n\r\n',
  'a trailer with a bare CR': '5\r\nhello\r\n0\r\nX-T: a\rb\r\n\r\n',
  'a trailer with NUL': '5\r\nhello\r\n0\r\nX-T: a\0b\r\n\r\n',
  'a request as a trailer': `5\r\nhello\r\n0\r\n${SMUGGLED}`,
}
for (const [name, body] of Object.entries(bodies)) {
  cases[`chunked with ${name}`] = `${HEAD}Transfer-Encoding: chunked\r\n\r\n${body}${SECOND}`
}

Object.assign(cases, {
  'bare LF everywhere': 'GET @ HTTP/1.1\nHost: x\n\n',
  'bare LF behind the request line': 'GET @ HTTP/1.1\nHost: x\r\n\r\n',
  'bare LF ends the head': `GET @ HTTP/1.1\r\nHost: x\r\n\n${SECOND}`,
  'bare CR behind the request line': 'GET @ HTTP/1.1\rHost: x\r\n\r\n',
  'bare CR in a value': 'GET @ HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n',
  'bare CR ends the head': `GET @ HTTP/1.1\r\nHost: x\r\n\r${SMUGGLED}`,
  'CR CR LF ends the head': `GET @ HTTP/1.1\r\nHost: x\r\n\r\r\n${SMUGGLED}`,
  'empty lines before a request': 'GET @ HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n\nGET @/second HTTP/1.1\r\nHost: x\r\n\r\n',
  'bare CR before a request': '\rGET @ HTTP/1.1\r\nHost: x\r\n\r\n',
  'blank before a request': ' GET @ HTTP/1.1\r\nHost: x\r\n\r\n',
  'blank before the first field': 'GET @ HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n',
  'a fold': 'GET @ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
  'a fold of Host': 'GET @ HTTP/1.1\r\nA: b\r\nHost: x\r\n y\r\n\r\n',
  'a fold of nothing': 'GET @ HTTP/1.1\r\nHost: x\r\nA: b\r\n \r\n\r\n',
  'a request in a fold': `GET @ HTTP/1.1\r\nHost: x\r\nA: b\r\n GET @/smuggled HTTP/1.1\r\nB: c\r\n\r\n`,
  'GET with a body': `GET @ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello${SECOND}`,
  'HEAD with a body': `HEAD @ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello${SECOND}`,
  'GET with a body nobody announced': `GET @ HTTP/1.1\r\nHost: x\r\n\r\nhello${SMUGGLED}`,
  'a request behind a malformed one': `GET @ HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n${SMUGGLED}`,
  'a request behind an unknown method': `NONSENSE @ HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`,
  'a request behind one without Host': `GET @ HTTP/1.1\r\nA: b\r\n\r\n${SECOND}`,
  'a request behind too large a head': `GET @ HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(70_000)}\r\n\r\n${SMUGGLED}`,
  'a request behind too many fields': `GET @ HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(101)}\r\n${SMUGGLED}`,
  'garbage behind a request': 'GET @ HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01garbage\r\n\r\n',
  'absolute-form against Host': 'GET http://y@ HTTP/1.1\r\nHost: x\r\n\r\n',
  'absolute-form without Host': 'GET http://y@ HTTP/1.1\r\n\r\n',
  'absolute-form with a user': 'GET http://x:y@z@ HTTP/1.1\r\nHost: x\r\n\r\n',
  'absolute-form, empty authority': 'GET http://@ HTTP/1.1\r\nHost: x\r\n\r\n',
  'absolute-form, another scheme': 'GET ftp://y@ HTTP/1.1\r\nHost: x\r\n\r\n',
  'absolute-form, scheme only': 'GET http: HTTP/1.1\r\nHost: x\r\n\r\n',
  'authority-form with GET': 'GET y:80 HTTP/1.1\r\nHost: x\r\n\r\n',
  'a fragment in the target': 'GET @#/smuggled HTTP/1.1\r\nHost: x\r\n\r\n',
  'a high byte in the target': 'GET @\xff HTTP/1.1\r\nHost: x\r\n\r\n',
  'a tab in the target': 'GET @\t HTTP/1.1\r\nHost: x\r\n\r\n',
  'a blank in the target': 'GET @ /smuggled HTTP/1.1\r\nHost: x\r\n\r\n',
  'two blanks behind the method': 'GET  @ HTTP/1.1\r\nHost: x\r\n\r\n',
  'two blanks before the version': 'GET @  HTTP/1.1\r\nHost: x\r\n\r\n',
  'tabs in the request line': 'GET\t@\tHTTP/1.1\r\nHost: x\r\n\r\n',
  'text behind the version': 'GET @ HTTP/1.1 x\r\nHost: x\r\n\r\n',
  'a blank behind the version': 'GET @ HTTP/1.1 \r\nHost: x\r\n\r\n',
  'no version': `GET @\r\n\r\n`,
  'version 1.2': 'GET @ HTTP/1.2\r\nHost: x\r\n\r\n',
  'version 2.0': 'GET @ HTTP/2.0\r\nHost: x\r\n\r\n',
  'version 1.10': 'GET @ HTTP/1.10\r\nHost: x\r\n\r\n',
  'version in small letters': 'GET @ http/1.1\r\nHost: x\r\n\r\n',
  'a method in small letters': 'get @ HTTP/1.1\r\nHost: x\r\n\r\n',
  'version 1.0 with chunked': `POST @ HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${INSIDE}`,
  'two hosts': 'GET @ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
  'two equal hosts': 'GET @ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n',
  'a list of hosts': 'GET @ HTTP/1.1\r\nHost: x, y\r\n\r\n',
  'a host with a path': 'GET @ HTTP/1.1\r\nHost: x/y\r\n\r\n',
  'a host with a blank': 'GET @ HTTP/1.1\r\nHost: x y\r\n\r\n',
  'a host with a user': 'GET @ HTTP/1.1\r\nHost: u@x\r\n\r\n'.replace('u@x', 'u%40x'),
  'an empty host': 'GET @ HTTP/1.1\r\nHost:\r\n\r\n',
  'Host named by Connection': 'GET @ HTTP/1.1\r\nHost: x\r\nConnection: host\r\n\r\n',
  'a blank in a name': 'GET @ HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n',
  'an empty name': 'GET @ HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n',
  'a name with a colon first': 'GET @ HTTP/1.1\r\nHost: x\r\n:path: /smuggled\r\n\r\n',
  'a name with NUL': 'GET @ HTTP/1.1\r\nHost: x\r\nA\0: c\r\n\r\n',
  'a name with a high byte': 'GET @ HTTP/1.1\r\nHost: x\r\nA\xff: c\r\n\r\n',
  'a value with NUL': 'GET @ HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n',
  'a value with DEL': 'GET @ HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n',
  'h2c upgrade with frames behind': `GET @ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
  'websocket upgrade that is not configured, with a request behind': `GET @ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n${SMUGGLED}`,
  'CONNECT that is not configured, with a request behind': `CONNECT y:80 HTTP/1.1\r\nHost: y:80\r\n\r\n${SMUGGLED}`,
  'CONNECT with a length': `CONNECT y:80 HTTP/1.1\r\nHost: y:80\r\nContent-Length: 5\r\n\r\nhello${SMUGGLED}`,
  'Upgrade without Connection': `GET @ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n${SECOND}`,
  'Upgrade with a length': `POST @ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello${SMUGGLED}`,
  'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'Expect of something else': `${HEAD}Expect: x\r\nContent-Length: 5\r\n\r\nhello${SECOND}`,
  'Expect of 100-continue with the body at once': `${HEAD}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello${SECOND}`,
})

export interface CorpusCase {
  readonly name: string
  /** `/c000` */
  readonly path: string
  readonly input: Buffer
}

export const requestCorpus: readonly CorpusCase[] = Object.entries(cases).map(([name, input], index) => {
  const path = `/c${String(index).padStart(3, '0')}`
  return { name, path, input: Buffer.from(input.replaceAll('@', path), 'latin1') }
})
