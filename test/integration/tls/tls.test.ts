import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import { CloseHow, CloseReason } from '../../../src/io/connection.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import { fakeServices } from '../../unit/network/fake-services.ts'
import { CA, pair, tlsClient, tlsServer } from './tls-peers.ts'

const server = pair('server')
const ALPN = ['h2', 'http/1.1']

/** A client that is not ours: Node's own. */
function nodeClient(
  port: number,
  options: tls.ConnectionOptions = {},
): Promise<{ text: string; socket: tls.TLSSocket }> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed')))
    socket.once('data', d => resolve({ text: d.toString(), socket }))
    socket.write('ping')
  })
}

t.test('one-way TLS: echo, facts of the session, counters', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server], alpn_protocols: ALPN } })
  t.teardown(() => s.close())
  const { text, socket } = await nodeClient(s.port, { servername: 'LAB.test', ALPNProtocols: ['http/1.1'] })
  t.equal(text, 'ping')
  t.equal(socket.alpnProtocol, 'http/1.1')
  const { connection, handler } = s.accepted[0]!
  t.ok(handler.connected)
  const info = connection.tls!
  t.equal(info.version, 'TLSv1.3')
  t.match(info.cipher, /^TLS_/)
  t.equal(info.sni, 'lab.test')
  t.equal(info.alpn, 'http/1.1')
  t.equal(info.peerCertificatePresented, false)
  t.equal(info.peerSubject, '')
  t.ok(info.localDnsSans.includes('lab.test'))
  t.ok(info.localUriSans[0]?.startsWith('spiffe://'))
  t.equal(s.services.stats.value('listener.x.ssl.handshake'), 1)
  t.equal(s.services.stats.value('listener.x.ssl.no_certificate'), 1)
  t.equal(s.services.stats.value('listener.x.ssl.versions.TLSv1.3'), 1)
  socket.destroy()
})

t.test('no common ALPN protocol: the handshake goes on without ALPN', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server], alpn_protocols: ALPN } })
  t.teardown(() => s.close())
  const { socket } = await nodeClient(s.port, { ALPNProtocols: ['foo'] })
  t.equal(socket.alpnProtocol, false)
  socket.destroy()
})

t.test('the server prefers its own order of ALPN protocols', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server], alpn_protocols: ALPN } })
  t.teardown(() => s.close())
  const { socket } = await nodeClient(s.port, { ALPNProtocols: ['http/1.1', 'h2'] })
  t.equal(socket.alpnProtocol, 'h2')
  socket.destroy()
})

t.test('mutual TLS between both of our sides', async t => {
  const s = await tlsServer({
    require_client_certificate: true,
    common_tls_context: {
      tls_certificates: [server],
      validation_context: {
        ...CA,
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }],
      },
    },
  })
  t.teardown(() => s.close())
  const c = tlsClient({
    sni: 'lab.test',
    common_tls_context: {
      tls_certificates: [pair('client')],
      validation_context: {
        ...CA,
        match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'a.lab.test' } }],
      },
    },
  })
  const { connection, handler } = c.dial(s.port)
  connection.write('hello')
  await handler.until(() => handler.text === 'hello' || handler.closed !== null)
  t.equal(connection.transportFailure, '')
  t.equal(connection.tls?.version, 'TLSv1.2', 'clients stay at TLS 1.2 by default, as in Envoy')
  t.equal(connection.tls?.peerCertificateValidated, true)
  t.match(connection.tls?.sessionId, /^[0-9a-f]*$/)
  const seen = s.accepted[0]!.connection.tls!
  t.equal(seen.peerCertificateValidated, true)
  t.match(seen.peerSha256, /^[0-9a-f]{64}$/)
  t.match(seen.peerUriSans[0], /^spiffe:/)
  t.match(seen.peerCertificateChainPem, /^-----BEGIN CERTIFICATE/)
  t.equal(c.services.stats.value('cluster.x.ssl.handshake'), 1)
  t.equal(c.services.stats.value('cluster.x.ssl.curves.X25519'), 1)
  connection.close(CloseHow.Flush)
  await handler.until(() => handler.closed !== null)
})

t.test("a client certificate that is missing, unknown or misnamed is refused in Envoy's words", async t => {
  const s = await tlsServer({
    require_client_certificate: true,
    common_tls_context: {
      tls_certificates: [server],
      validation_context: { ...CA, match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'nobody' } }] },
    },
  })
  t.teardown(() => s.close())
  await t.rejects(nodeClient(s.port))
  await t.rejects(nodeClient(s.port, certificate('stranger')))
  await t.rejects(nodeClient(s.port, certificate('other')))
  const texts = s.accepted.map(a => a.connection.transportFailure)
  t.equal(
    texts[0],
    'TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate:TLS_error_end',
  )
  t.equal(
    texts[1],
    'TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: certificate verification error at depth 0: self signed certificate:TLS_error_end',
  )
  t.match(
    texts[2],
    /^TLS_error:\|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher, certificate SANs are \[other\.test[^\]]*\]:TLS_error_end$/,
  )
  for (const a of s.accepted) t.equal(a.handler.closed, CloseReason.TransportFailed)
  const value = (name: string): number => s.services.stats.value(`listener.x.ssl.${name}`)
  t.equal(value('fail_verify_no_cert'), 1)
  t.equal(value('fail_verify_error'), 1)
  t.equal(value('fail_verify_san'), 1)
  t.equal(value('handshake'), 0)
  t.ok(s.services.logged.some(line => line.includes('expected DNS exact nobody') && line.includes('other.test')))
})

for (const ciphers of [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
]) {
  t.test(`a refused client is told why by an alert, ${ciphers}, every time it comes`, async t => {
    const s = await tlsServer({
      require_client_certificate: true,
      common_tls_context: {
        tls_certificates: [server],
        validation_context: {
          ...CA,
          match_typed_subject_alt_names: [
            { san_type: 'URI', matcher: { exact: 'spiffe://cluster.local/ns/lab/sa/web' } },
          ],
        },
      },
    })
    t.teardown(() => s.close())
    const maxVersion = ciphers.startsWith('TLS_') ? 'TLSv1.3' : 'TLSv1.2'
    for (const [name, code] of [
      // BoringSSL's alert for a certificate without issuer, and the one for any other complaint.
      ['stranger', 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'],
      ['client', 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN'],
    ] as const) {
      let session: Buffer | undefined
      for (let i = 0; i < 2; i++) {
        const error = await new Promise<NodeJS.ErrnoException>(resolve => {
          const options = { host: '127.0.0.1', port: s.port, rejectUnauthorized: false, maxVersion, ciphers } as const
          const socket = tls.connect({
            ...options,
            ...certificate(name),
            ...(session === undefined ? {} : { session }),
          })
          socket.on('session', got => {
            session = got
          })
          socket.on('data', () => {})
          socket.on('error', resolve)
          socket.on('close', () => resolve(new Error('closed without a word')))
        })
        t.equal(error.code, code, error.message)
      }
    }
    t.equal(s.services.stats.value('listener.x.ssl.session_reused'), 0)
    t.equal(s.services.stats.value('listener.x.ssl.handshake'), 0)
  })
}

t.test('refused servers: chain, name, hash; nothing is sent to them', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [pair('stranger')] } })
  t.teardown(() => s.close())
  const good = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => good.close())
  const cases: [number, object, RegExp, string][] = [
    [s.port, CA, /depth 0: self signed certificate/, 'fail_verify_error'],
    [
      good.port,
      { ...CA, match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'x' } }] },
      /SAN matcher/,
      'fail_verify_san',
    ],
    [good.port, { ...CA, verify_certificate_hash: ['00'.repeat(32)] }, /cert hash and spki/, 'fail_verify_cert_hash'],
  ]
  for (const [port, validation, text, counter] of cases) {
    const c = tlsClient({ common_tls_context: { validation_context: validation } })
    const { connection, handler } = c.dial(port)
    connection.write('secret')
    await handler.until(() => handler.closed !== null)
    t.equal(handler.closed, CloseReason.TransportFailed)
    t.match(connection.transportFailure, text)
    t.notOk(handler.connected)
    t.equal(c.services.stats.value(`cluster.x.ssl.${counter}`), 1)
  }
  for (const a of [...s.accepted, ...good.accepted]) t.equal(a.handler.text, '')
})

for (const version of ['TLSv1_2', 'TLSv1_3'] as const) {
  t.test(`a server that was refused is refused again: its session is not kept, ${version}`, async t => {
    const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
    t.teardown(() => s.close())
    const c = tlsClient({
      sni: 'lab.test',
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: version },
        validation_context: { trusted_ca: { filename: certificatePath('stranger.pem') } },
      },
    })
    for (let i = 0; i < 3; i++) {
      const { handler } = c.dial(s.port)
      await handler.until(() => handler.closed !== null || handler.connected)
      t.equal(handler.closed, CloseReason.TransportFailed)
    }
    t.equal(s.services.stats.value('listener.x.ssl.session_reused'), 0)
  })

  t.test(`a resumed session still knows the certificate of its server, ${version}`, async t => {
    const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
    t.teardown(() => s.close())
    const c = tlsClient({
      sni: 'lab.test',
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: version },
        validation_context: CA,
      },
    })
    for (const expected of [false, true, true]) {
      const { connection, handler } = c.dial(s.port)
      connection.write('x')
      await handler.until(() => handler.text === 'x')
      t.equal(connection.tls?.resumed, expected)
      t.ok(connection.tls?.peerDnsSans.includes('lab.test'))
      connection.close(CloseHow.Flush)
      await handler.until(() => handler.closed !== null)
    }
    t.equal(c.services.stats.value('cluster.x.ssl.no_certificate'), 0)
    t.equal(c.services.stats.value('cluster.x.ssl.sigalgs.ecdsa_secp256r1_sha256'), 3)
  })
}

t.test('a record that cannot be decrypted ends the connection, with an alert', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  const raw = net.connect(s.port, '127.0.0.1')
  const closed = new Promise(resolve => raw.once('close', resolve))
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false })
  const told = new Promise<NodeJS.ErrnoException>(resolve => socket.once('error', resolve))
  socket.once('data', () => raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32, 7)])))
  socket.write('ping')
  t.equal((await told).code, 'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC')
  await closed
  t.equal(s.accepted[0]!.handler.closed, CloseReason.RemoteReset)
  t.equal(s.services.stats.value('listener.x.ssl.connection_error'), 1)
})

t.test('plain bytes at a TLS listener, plain answers at a TLS client', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  await new Promise<void>(done => {
    const socket = net.connect(s.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
    socket.on('close', () => done())
    socket.on('error', () => {})
    socket.resume()
  })
  const { connection } = s.accepted[0]!
  t.equal(connection.transportFailure, 'TLS_error:|268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end')
  t.equal(s.services.stats.value('listener.x.ssl.connection_error'), 1)
  const plain = net.createServer(c => {
    c.on('error', () => {})
    c.once('data', () => c.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  await new Promise<void>(done => plain.listen(0, '127.0.0.1', done))
  t.teardown(() => plain.close())
  const client = tlsClient({}).dial((plain.address() as net.AddressInfo).port)
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(
    client.connection.transportFailure,
    'TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end',
  )
})

t.test('no common version: alerts have the names of BoringSSL', async t => {
  const s = await tlsServer({
    common_tls_context: { tls_certificates: [server], tls_params: { tls_minimum_protocol_version: 'TLSv1_3' } },
  })
  t.teardown(() => s.close())
  const { connection, handler } = tlsClient({}).dial(s.port)
  await handler.until(() => handler.closed !== null)
  t.equal(
    connection.transportFailure,
    'TLS_error:|268436526:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end',
  )
})

t.test('the certificate follows the server name', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server, pair('other')] } })
  t.teardown(() => s.close())
  for (const [name, expected] of [
    ['other.test', 'other.test'],
    ['lab.test', 'lab.test'],
    ['x.lab.test', 'lab.test'],
    ['unknown.test', 'lab.test'],
  ] as const) {
    const { socket } = await nodeClient(s.port, { servername: name })
    t.match(socket.getPeerCertificate().subjectaltname, new RegExp(`DNS:${expected}`), name)
    socket.destroy()
  }
})

t.test('sessions are resumed, and verified again', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  const c = tlsClient({ sni: 'lab.test', common_tls_context: { validation_context: CA } })
  for (const expected of [false, true]) {
    const { connection, handler } = c.dial(s.port)
    connection.write('x')
    await handler.until(() => handler.text === 'x')
    t.equal(connection.tls?.resumed, expected)
    connection.close(CloseHow.Flush)
    await handler.until(() => handler.closed !== null)
  }
  t.equal(c.services.stats.value('cluster.x.ssl.session_reused'), 1)
  t.equal(s.services.stats.value('listener.x.ssl.session_reused'), 1)
})

t.test('secrets: not ready, then ready, then rotated', async t => {
  const services = fakeServices()
  const s = await tlsServer(
    {
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [{ name: 'default' }],
        combined_validation_context: {
          default_validation_context: {
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe:' } }],
          },
          validation_context_sds_secret_config: { name: 'ROOTCA' },
        },
      },
    },
    services,
  )
  t.teardown(() => s.close())
  await t.rejects(nodeClient(s.port, certificate('client')))
  t.equal(s.accepted[0]!.connection.transportFailure, 'TLS error: Secret is not supplied by SDS')
  const put = (name: string): void => {
    const { cert, key } = certificate(name)
    services.secrets.put({
      name: 'default',
      version: '1',
      tlsCertificate: {
        certificateChain: cert,
        privateKey: key,
        password: '',
        ocspStaple: null,
        source: '',
        keySource: '',
      },
    })
  }
  put('server')
  services.secrets.put({ name: 'ROOTCA', version: '1', validationContext: CA })
  const first = await nodeClient(s.port, { ...certificate('client'), servername: 'lab.test' })
  t.match(first.socket.getPeerCertificate().subjectaltname, /lab\.test/)
  put('other')
  const second = await nodeClient(s.port, { ...certificate('client'), servername: 'lab.test' })
  t.match(second.socket.getPeerCertificate().subjectaltname, /other\.test/)
  first.socket.write('still')
  await new Promise(done => first.socket.once('data', done))
  first.socket.destroy()
  second.socket.destroy()
  t.equal(services.stats.value('listener.x.server_ssl_socket_factory.downstream_context_secrets_not_ready'), 1)
})

t.test('every way to close works through TLS', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  const c = tlsClient({})
  for (const [how, seen] of [
    [CloseHow.Reset, CloseReason.RemoteReset],
    [CloseHow.Flush, CloseReason.Remote],
    [CloseHow.FlushAndDelay, CloseReason.Remote],
  ] as const) {
    const { connection, handler } = c.dial(s.port)
    handler.answer((c, _, end) => end && c.end())
    connection.write('x')
    await handler.until(() => handler.text === 'x')
    const { connection: far, handler: farHandler } = s.accepted.at(-1)!
    far.write('bye')
    far.close(how)
    await handler.until(() => handler.closed !== null)
    await farHandler.until(() => farHandler.closed !== null)
    t.equal(handler.closed, seen)
    t.equal(farHandler.closed, CloseReason.Local)
    if (how !== CloseHow.Reset) t.equal(handler.text, 'xbye')
  }
})

t.test('half-close and back-pressure through TLS', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  const { connection, handler } = tlsClient({}).dial(s.port)
  const size = 8 * 1024 * 1024
  connection.setWatermarks(64 * 1024)
  t.equal(connection.write(Buffer.alloc(size)), 1)
  connection.end()
  await handler.until(() => handler.ended)
  t.equal(handler.received, size)
  t.ok(handler.writable >= 1)
  await handler.until(() => handler.closed !== null)
  t.equal(handler.closed, CloseReason.Remote)
})

t.test('writes of any size and kind, some while others are under way, arrive in order', async t => {
  const s = await tlsServer({ common_tls_context: { tls_certificates: [server] } })
  t.teardown(() => s.close())
  let seed = 11
  const random = (n: number): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % n
  }
  for (let round = 0; round < 12; round++) {
    const socket = tls.connect({ host: '127.0.0.1', port: s.port, rejectUnauthorized: false })
    // Connections are cut here.
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    const far = s.accepted.at(-1)!
    const got: Buffer[] = []
    socket.on('data', d => got.push(d as Buffer))
    let sent = ''
    for (let turn = 0; turn < 40; turn++) {
      for (let i = random(4); i >= 0; i--) {
        const size = random(8) === 0 ? random(300_000) + 1 : random(900) + 1
        const piece = String.fromCharCode(97 + random(26)).repeat(size)
        sent += piece
        far.connection.write(random(2) === 0 ? piece : Buffer.from(piece, 'latin1'))
      }
      // Now and then the reader stops, so that the system takes no more.
      if (random(10) === 0) socket.pause()
      if (random(3) === 0) socket.resume()
      if (random(2) === 0) await new Promise(resolve => setImmediate(resolve))
    }
    if (round % 3 === 2) {
      // Cut in the middle of whatever is under way.
      far.connection.close(round % 2 === 0 ? CloseHow.NoFlush : CloseHow.Reset)
      socket.resume()
      await new Promise(resolve => socket.on('close', resolve))
      t.ok(sent.startsWith(Buffer.concat(got).toString('latin1')))
    } else {
      if (round % 3 === 1) far.connection.end()
      else far.connection.close(CloseHow.Flush)
      socket.resume()
      await once(socket, 'end')
      t.ok(sent === Buffer.concat(got).toString('latin1'), `round ${round}: ${sent.length} bytes`)
      t.equal(far.connection.bufferedBytes, 0)
      socket.destroy()
    }
    await far.handler.until(() => far.handler.closed !== null)
  }
})
