import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ANONYMOUS, credentialsOfPod, credentialsOfSecret } from '../../../../src/agent/wasm/image-credentials.ts'
import { imageName, parseImageReference } from '../../../../src/agent/wasm/image-reference.ts'

const DIGEST = `sha256:${'0a'.repeat(32)}`

t.test('registry, repository and tag or digest of an image are told apart', async t => {
  const cases: [string, string, string, string][] = [
    ['plugin', 'index.docker.io', 'library/plugin', 'latest'],
    ['docker.io/istio/plugin:1.0', 'index.docker.io', 'istio/plugin', '1.0'],
    ['istio/plugin', 'index.docker.io', 'istio/plugin', 'latest'],
    ['localhost:5000/a/b/c', 'localhost:5000', 'a/b/c', 'latest'],
    ['[::1]:5000/a/b:V1', '[::1]:5000', 'a/b', 'V1'],
    [`ghcr.io/a/b@${DIGEST}`, 'ghcr.io', 'a/b', DIGEST],
    [`ghcr.io:443/a/b:tag@${DIGEST}`, 'ghcr.io:443', 'a/b', DIGEST],
  ]
  for (const [text, registry, repository, identifier] of cases) {
    t.match(parseImageReference(text), { registry, repository, identifier }, text)
  }
  t.equal(imageName(parseImageReference('ghcr.io/a/b:1')), imageName(parseImageReference(`ghcr.io/a/b@${DIGEST}`)))
})

t.test('what is no image is an error', async t => {
  const wrong = [
    '',
    'a',
    'ghcr.io/',
    'ghcr.io/A/b',
    'a/b:',
    'a/b:t g',
    'ghcr.io/a/../b',
    'x@sha256:00',
    'ab@md5:00',
    'a.b/c d',
  ]
  for (const text of [...wrong, `ab@${DIGEST}@${DIGEST}`, `gh cr.io/${'a'.repeat(300)}`]) {
    t.throws(() => parseImageReference(text), /could not parse reference/, text)
  }
})

t.test('local and private registries may be without TLS', async t => {
  for (const host of [
    'localhost:5000',
    '127.0.0.1:80',
    '10.1.2.3',
    '192.168.0.1:5000',
    'r.localhost:5000',
    '[::1]:1',
  ]) {
    t.ok(parseImageReference(`${host}/ab`).plainAllowed, host)
  }
  for (const host of [
    'ghcr.io',
    '8.8.8.8',
    '10.example.com',
    '127.0.0.1.evil.io',
    '[2001:db8::1]:80',
    'a.localhost.io',
  ])
    t.notOk(parseImageReference(`${host}/ab`).plainAllowed, host)
})

t.test('the pull secret gives the credentials of its registry and of no other', async t => {
  const auth = Buffer.from('me:p:w').toString('base64')
  const secret = JSON.stringify({
    auths: {
      'ghcr.io': { auth },
      'https://quay.io/v2/': { username: 'u', password: 'p' },
      'https://index.docker.io/v1/': { identitytoken: 'id' },
      'r.io': { registrytoken: 'tok' },
      'https://s.io:443/v1/': { username: 'port', password: 'p' },
    },
  })
  const of = (image: string, text = secret) => credentialsOfSecret(text, parseImageReference(image))
  t.same(of('ghcr.io/a/b'), { ...ANONYMOUS, username: 'me', password: 'p:w' })
  t.same(of('quay.io/a/b'), { ...ANONYMOUS, username: 'u', password: 'p' })
  t.same(of('docker.io/a/b'), { ...ANONYMOUS, identityToken: 'id' })
  t.same(of('r.io/a/b'), { ...ANONYMOUS, registryToken: 'tok' })
  t.same(of('s.io:443/a/b'), { ...ANONYMOUS, username: 'port', password: 'p' })
  t.same(of('s.io/a/b'), ANONYMOUS)
  t.same(of('evil.io/a/b'), ANONYMOUS)
  t.same(of('ghcr.io.evil.io/a/b'), ANONYMOUS)
  t.same(of('__proto__.io/a/b', '{}'), ANONYMOUS)
})

t.test('a pull secret that cannot be used is an error, which does not show it', async t => {
  const of = (text: string) => () => credentialsOfSecret(text, parseImageReference('ghcr.io/a/b'))
  t.throws(of('hunter2'), { message: 'registry credentials are no JSON' })
  t.throws(of('null'), /no JSON object/)
  t.throws(of('{"auths":{"ghcr.io":{"auth":"aHVudGVyMg=="}}}'), /auth is not the base64 of user:password$/)
  t.throws(of('{"credsStore":"desktop"}'), /credential helpers are not supported/)
})

t.test('without a pull secret the configuration of Docker or Podman in the pod counts', async t => {
  const folder = t.testdir()
  const write = (path: string, auths: object): void => {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), JSON.stringify({ auths }))
  }
  const of = (env: Record<string, string>) => credentialsOfPod(env, parseImageReference('ghcr.io/a/b:1')).username
  t.equal(of({ HOME: folder }), '')
  t.equal(of({}), '')
  write('run/containers/auth.json', { 'ghcr.io': { username: 'podman', password: 'p' } })
  t.equal(of({ HOME: folder, XDG_RUNTIME_DIR: join(folder, 'run') }), 'podman')
  write('.docker/config.json', {
    'ghcr.io': { username: 'home', password: 'p' },
    'ghcr.io/a/b': { username: 'repository', password: 'p' },
  })
  t.equal(of({ HOME: folder, XDG_RUNTIME_DIR: join(folder, 'run') }), 'repository')
  write('named/config.json', { 'ghcr.io': { username: 'named', password: 'p' } })
  t.equal(of({ HOME: folder, DOCKER_CONFIG: join(folder, 'named') }), 'named')
})
