import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parseAllDocuments } from 'yaml'

const remora = fileURLToPath(new URL('../../../src/cmd/remora.ts', import.meta.url))
const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/istio/inject/${name}`, import.meta.url))
const run = (argv: readonly string[], input = '') =>
  spawnSync(process.execPath, [remora, ...argv], { input, encoding: 'utf8' })

t.test('remora inject reads a file or stdin, takes image and native sidecars from flags', t => {
  const argv = ['inject', '--image', 'localhost/remora:dev', '--nativeSidecars=true']
  const of = (text: string) =>
    parseAllDocuments(text)[0]!.toJS() as {
      spec: { template: { spec: { initContainers: { name: string; image: string }[] } } }
    }
  const text = execFileSync(process.execPath, [remora, ...argv, '-f', fixture('hello.yaml')], { encoding: 'utf8' })
  const { initContainers } = of(text).spec.template.spec
  t.match(initContainers, [
    { name: 'istio-init', image: 'localhost/remora:dev' },
    { name: 'istio-proxy', image: 'localhost/remora:dev' },
  ])
  t.same(of(run([...argv, '-f', '-'], text).stdout), of(text), 'its own output stays as it is')
  t.end()
})

t.test('what cannot be injected ends with status 1 and a sentence', t => {
  const bad = run(['inject', '-f', fixture('traffic-annotations-bad-excludeinboundports.yaml')])
  t.equal(bad.status, 1)
  t.match(bad.stderr, /^Error: .*Deployment "traffic": invalid value .*excludeInboundPorts/)
  t.match(run(['inject', '-f', '/nowhere']).stderr, /ENOENT/)
  t.match(run(['inject']).stderr, /use: remora inject -f FILE/)
  t.match(run(['inject', '-f', fixture('hello.yaml'), '--image', 'name']).stderr, /a reference with a \//)
  const skipped = run(['inject', '-f', fixture('hello-host-network.yaml')])
  t.equal(skipped.status, 0)
  t.match(skipped.stderr, /Skipping injection because Deployment/)
  t.end()
})

t.test('remora injector --manifests prints an installation', t => {
  const { stdout, status } = run(['injector', '--manifests', '--image', 'localhost/remora:dev', '--namespace', 'mesh'])
  t.equal(status, 0)
  const kinds = parseAllDocuments(stdout).map(document => (document.toJS() as { kind: string }).kind)
  t.same(kinds.at(-1), 'MutatingWebhookConfiguration', 'the webhook comes last: before it nobody would answer')
  t.match(run(['injector', '--manifests']).stderr, /needs --image/)
  t.end()
})
