import { type AddressInfo, createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { configureLog } from '../../../../src/agent/log.ts'
import { BlockedAddresses } from '../../../../src/agent/wasm/blocked-address.ts'
import { HttpClient } from '../../../../src/agent/wasm/http-client.ts'
import { ImageFetcher } from '../../../../src/agent/wasm/image-fetch.ts'
import { tar, tarEntry, wasmModule } from './packing.ts'
import {
  DOCKER_LAYER,
  DOCKER_MANIFEST,
  type Layer,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  ToyRegistry,
  WASM_LAYER,
} from './toy-registry.ts'

configureLog({ write: () => {} })

const MODULE = wasmModule('in an image')
const PACKED = gzipSync(tar(tarEntry('plugin.wasm', MODULE)))
const OTHER: Layer = { type: 'application/octet-stream', bytes: Buffer.from('{}') }
const RAW: Layer = { type: WASM_LAYER, bytes: MODULE }
const BASIC = `Basic ${Buffer.from('me:pw').toString('base64')}`

interface Setup {
  readonly registry: ToyRegistry
  readonly fetch: (
    image?: string,
    pullSecret?: string,
    signal?: AbortSignal,
    insecure?: boolean,
  ) => Promise<[checksum: string, Buffer]>
}

async function setup(t: Test, maxBytes = 4096, tls = false): Promise<Setup> {
  const registry = await new ToyRegistry(tls).listen(close => t.teardown(close))
  const client = new HttpClient(new BlockedAddresses([]), async () => [{ address: '127.0.0.1', family: 4 }])
  const images = new ImageFetcher(client, {}, maxBytes, [1, 1])
  return {
    registry,
    fetch: async (
      image = `${registry.host}/a/plugin:1`,
      secret,
      deadline = AbortSignal.timeout(30_000),
      insecure = false,
    ) => {
      const found = await images.prepare({ image, pullSecret: secret ?? null, insecure, deadline })
      return [found.checksum, await found.download()]
    },
  }
}

function secretFor(host: string, entry: object): string {
  return JSON.stringify({ auths: { [host]: entry } })
}

t.test('the three layouts of an image are read: of Docker, of OCI, and an artifact of its own type', async t => {
  const { registry, fetch } = await setup(t)
  const images = [
    registry.image('docker', DOCKER_MANIFEST, OTHER, { type: DOCKER_LAYER, bytes: PACKED }),
    registry.image('oci', OCI_MANIFEST, { type: OCI_LAYER, bytes: PACKED }),
    registry.image('artifact', OCI_MANIFEST, OTHER, RAW),
  ]
  for (const [i, tag] of ['docker', 'oci', 'artifact'].entries()) {
    const checksum = images[i]!.slice('sha256:'.length)
    t.same(await fetch(`${registry.host}/a/plugin:${tag}`), [checksum, MODULE], tag)
    t.same(await fetch(`${registry.host}/a/plugin@${images[i]}`), [checksum, MODULE], `${tag} by its digest`)
  }
})

t.test('a private registry is tried without TLS from the beginning', async t => {
  const { registry, fetch } = await setup(t)
  registry.image('1', OCI_MANIFEST, { type: OCI_LAYER, bytes: PACKED })
  t.same((await fetch(`127.0.0.1:${registry.port}/a/plugin:1`))[1], MODULE)
})

t.test('the certificate of a registry is verified, except of an insecure one', async t => {
  const { registry, fetch } = await setup(t, 4096, true)
  registry.image('1', OCI_MANIFEST, { type: OCI_LAYER, bytes: PACKED })
  t.same((await fetch(undefined, undefined, undefined, true))[1], MODULE)
  await t.rejects(fetch(), /\/v2\/": (unable to (verify|get)|self-signed)/)
  const local = `127.0.0.1:${registry.port}/a/plugin:1`
  t.same((await fetch(local, undefined, undefined, true))[1], MODULE)
  registry.first.push(404)
  await t.rejects(fetch(local, undefined, undefined, true), /status code 404.*; Get "http:/, 'both have failed')
  registry.challenge = 'Bearer realm="http://tokens.test/"'
  registry.authorization = 'Bearer good'
  await t.rejects(fetch(undefined, undefined, undefined, true), /scheme "http" not allowed/, 'no token in the clear')
})

t.test('credentials do not go in the clear to a registry whose TLS refuses', async t => {
  const seen: Buffer[] = []
  const alert = Buffer.from([21, 3, 3, 0, 2, 2, 40])
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', first => {
      seen.push(first as Buffer)
      socket.end(alert)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { fetch } = await setup(t)
  const host = `registry.test:${(server.address() as AddressInfo).port}`
  await t.rejects(
    fetch(`${host}/a/plugin:1`, secretFor(host, { username: 'me', password: 'pw' })),
    /alert handshake failure/,
  )
  t.same(
    seen.map(bytes => bytes[0]),
    [22],
    'a handshake and nothing else',
  )
})

t.test('of an index the image for linux/amd64 is taken, through indexes in it, of inline data too', async t => {
  const { registry, fetch } = await setup(t)
  const digest = registry.image('x', OCI_MANIFEST, { type: OCI_LAYER, bytes: PACKED })
  const child = { mediaType: OCI_MANIFEST, digest, size: 1, platform: { architecture: 'amd64', os: 'linux' } }
  const arm = { ...child, digest: `sha256:${'00'.repeat(32)}`, platform: { architecture: 'arm64', os: 'linux' } }
  const inner = registry.manifest('1', OCI_INDEX, { manifests: [arm, child] })
  const expected = [digest.slice(7), MODULE] as const
  t.same(await fetch(), expected)
  registry.manifest('1', OCI_INDEX, { manifests: [{ mediaType: OCI_INDEX, digest: inner, size: 1 }] })
  t.same(await fetch(), expected)
  registry.manifest('1', OCI_INDEX, { manifests: [arm] })
  await t.rejects(fetch(), /no child with platform linux\/amd64/)
  const data = Buffer.from('{"layers":[]}').toString('base64')
  registry.manifest('1', OCI_INDEX, { manifests: [{ ...child, size: 13, data }] })
  await t.rejects(fetch(), /does not match requested digest/)
})

t.test('an index that leads deeper and deeper is an error', async t => {
  const { registry, fetch } = await setup(t)
  let digest = registry.image('x', OCI_MANIFEST, RAW)
  for (let i = 0; i < 6; i++) {
    digest = registry.manifest('1', OCI_INDEX, { manifests: [{ mediaType: OCI_INDEX, digest, size: 1, depth: i }] })
  }
  await t.rejects(fetch(), /too many indexes in each other/)
})

t.test('images in other layouts are errors that say why', async t => {
  const { registry, fetch } = await setup(t)
  const cases: [string, Layer[], RegExp][] = [
    [DOCKER_MANIFEST, [], /number of layers must be greater than zero/],
    [DOCKER_MANIFEST, [{ type: OCI_LAYER, bytes: PACKED }], /invalid media type .*oci.* \(expect .*docker/],
    [DOCKER_MANIFEST, [{ type: DOCKER_LAYER, bytes: MODULE }], /failed to parse layer as tar.gz/],
    [OCI_MANIFEST, [RAW], /compat variant: invalid media type .*oci variant: number of layers must be 2 but got 1/],
    [OCI_MANIFEST, [OTHER, OTHER], /could not find the layer of type application\/vnd.module.wasm/],
  ]
  for (const [type, layers, expected] of cases) {
    registry.image('1', type, ...layers)
    await t.rejects(fetch(), expected)
  }
  registry.manifest('1', 'application/vnd.docker.distribution.manifest.list.v2+json', {})
  await t.rejects(fetch(), /no child with platform/)
  await t.rejects(fetch(`${registry.host}/a/plugin:none`), /unexpected status code 404: .*NAME_UNKNOWN.* error forged$/)
})

t.test('bytes that are not those of the digest are refused, and those beyond the limit', async t => {
  const { registry, fetch } = await setup(t, 300)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  const digest = registry.blob(MODULE)
  registry.replaceBlob(digest, wasmModule('in an imagE'))
  await t.rejects(fetch(), /does not match requested digest/)
  registry.replaceBlob(digest, MODULE.subarray(1))
  await t.rejects(fetch(), /has 18 bytes, expected 19/)
  registry.replaceBlob(digest, Buffer.concat([MODULE, MODULE]))
  await t.rejects(fetch(), /exceeds 19 bytes/)
  registry.image('1', OCI_MANIFEST, OTHER, { type: WASM_LAYER, bytes: wasmModule('x'.repeat(300)) })
  await t.rejects(fetch(), /layer of 308 bytes exceeds 300 bytes/)
  const packed = gzipSync(tar(tarEntry('plugin.wasm', wasmModule('x'.repeat(4000)))))
  registry.image('1', OCI_MANIFEST, { type: OCI_LAYER, bytes: packed })
  await t.rejects(fetch(), /failed to parse layer as tar.gz/)
})

t.test('a token is asked for where the registry says, with the credentials of the pull secret', async t => {
  const { registry, fetch } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  registry.challenge = `Bearer realm="http://${registry.host}/token",service="toy",scope="registry:catalog"`
  registry.authorization = 'Bearer good'
  registry.credentials = BASIC
  const secret = secretFor(registry.host, { auth: Buffer.from('me:pw').toString('base64') })
  t.same((await fetch(undefined, secret))[1], MODULE)
  const token = registry.asked.find(line => line.includes('/token'))
  t.equal(token, `GET /token?scope=repository%3Aa%2Fplugin%3Apull&service=toy ${BASIC}`)
  t.notOk(
    registry.asked.some(line => line.includes('/v2/') && line.includes('Basic')),
    'only the token server gets them',
  )
  await t.rejects(fetch(), /unexpected status code 401/)
  registry.token = { access_token: 'good' }
  t.same((await fetch(undefined, secret))[1], MODULE)
  registry.token = {}
  await t.rejects(fetch(undefined, secret), /no token in bearer response/)
})

t.test('Basic, a registry token and an identity token are used as the registry has it', async t => {
  const { registry, fetch } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  registry.challenge = 'Basic realm="toy"'
  registry.authorization = BASIC
  t.same((await fetch(undefined, secretFor(registry.host, { username: 'me', password: 'pw' })))[1], MODULE)
  registry.challenge = `Bearer realm="http://${registry.host}/token"`
  registry.authorization = 'Bearer mine'
  t.same((await fetch(undefined, secretFor(registry.host, { registrytoken: 'mine' })))[1], MODULE)
  registry.authorization = 'Bearer good'
  registry.credentials = 'grant_type=refresh_token&refresh_token=id'
  t.same((await fetch(undefined, secretFor(registry.host, { identitytoken: 'id' })))[1], MODULE)
  t.ok(registry.asked.includes('POST /token'))
})

t.test('layers may be elsewhere, where no credentials go, but not inside for what is outside', async t => {
  const { registry, fetch } = await setup(t)
  const { registry: storage } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  storage.blob(MODULE)
  registry.challenge = 'Basic realm="toy"'
  registry.authorization = BASIC
  registry.redirect = `http://${storage.host}/v2/a/plugin/blobs/DIGEST`
  t.same((await fetch(undefined, secretFor(registry.host, { username: 'me', password: 'pw' })))[1], MODULE)
  t.match(storage.asked, [/^GET \/v2\/a\/plugin\/blobs\/sha256:[0-9a-f]+$/])
  registry.redirect = `http://127.0.0.1:${storage.port}/v2/a/plugin/blobs/DIGEST`
  await t.rejects(
    fetch(undefined, secretFor(registry.host, { username: 'me', password: 'pw' })),
    /host "127.0.0.1" denied/,
  )
})

t.test('where a layer is has no say in what the token of the registry is for', async t => {
  const { registry, fetch } = await setup(t)
  const { registry: storage } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  registry.challenge = `Bearer realm="http://${registry.host}/token"`
  registry.authorization = 'Bearer good'
  registry.redirect = `http://${storage.host}/v2/a/plugin/blobs/DIGEST`
  storage.challenge = 'Bearer realm="http://tokens.test/",scope="repository:other:pull"'
  storage.authorization = 'none is right'
  await t.rejects(fetch(), /unexpected status code 401/)
  const tokens = registry.asked.filter(line => line.includes('/token'))
  t.same(tokens, ['GET /token?scope=repository%3Aa%2Fplugin%3Apull&service='])
})

t.test('a realm within the pod, the cluster or the metadata of the cloud is refused', async t => {
  const { registry, fetch } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  registry.authorization = 'Bearer good'
  for (const realm of [
    'http://127.0.0.1:1/',
    'http://localhost/',
    'http://10.0.0.1/',
    'http://[fd00::1]/',
    'http://metadata.google.internal/',
  ]) {
    registry.challenge = `Bearer realm="${realm}"`
    await t.rejects(fetch(), /rejected unsafe bearer realm/, realm)
  }
  registry.challenge = 'Bearer realm="file:///etc/passwd"'
  await t.rejects(fetch(), /scheme "file" not allowed/)
  registry.challenge = 'Bearer service="x"'
  await t.rejects(fetch(), /missing realm/)
})

t.test('what may pass is tried three times; what does not end is left at the deadline', async t => {
  const { registry, fetch } = await setup(t)
  registry.image('1', OCI_MANIFEST, OTHER, RAW)
  registry.first.push(503, 429)
  t.same((await fetch())[1], MODULE)
  registry.first.push(503, 503, 503)
  await t.rejects(fetch(), /unexpected status code 503/)
  registry.hangs = true
  await t.rejects(fetch(undefined, undefined, AbortSignal.timeout(50)), /context deadline exceeded/)
})
