import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { decodeMessage } from '../../../src/config/binary.ts'
import { readResources, resourcesOf, versionOf } from '../../../src/lab/resource-files.ts'

const CLUSTER = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'

function cluster(name: string, more = ''): string {
  return `- "@type": ${CLUSTER}\n  name: ${name}\n  connect_timeout: 1s\n${more}`
}

function folderOf(t: Test, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'remora-resources-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

function mistake(t: Test, yaml: string, message: RegExp): void {
  t.throws(() => readResources(folderOf(t, { 'a.yaml': yaml })), { message })
}

t.test('files of the folder go to every node, files of a subfolder to the node of that name', async t => {
  const folder = folderOf(t, {
    'all.yaml': `resources:\n${cluster('shared')}`,
    'client/own.yaml': `resources:\n${cluster('own')}`,
    'client/.own.yaml.swp': 'not: read',
    'client/own.yaml~': 'not: read',
    'client/empty.yaml': '',
  })
  const snapshot = readResources(folder)
  t.same([...resourcesOf(snapshot, 'client', CLUSTER).keys()], ['shared', 'own'])
  t.same([...resourcesOf(snapshot, 'other', CLUSTER).keys()], ['shared'])
  const bytes = resourcesOf(snapshot, 'client', CLUSTER).get('own') as Uint8Array
  t.match(decodeMessage('envoy.config.cluster.v3.Cluster', bytes).message, { name: 'own', connect_timeout: 1000 })
})

t.test('a mistake is told with file, line, column and the nearest name', async t => {
  mistake(
    t,
    `resources:\n${cluster('a', '  lb_polcy: RANDOM\n')}`,
    /a\.yaml:5:3: no such field: 'lb_polcy'.*'lb_policy'/,
  )
  mistake(t, `resources:\n${cluster('a', '  lb_policy: RANDOMM\n')}`, /a\.yaml:5:\d+: .*RANDOMM/)
  mistake(t, `resources:\n${cluster('a', '  dns_lookup_family: [1]\n')}`, /a\.yaml:5:/)
  mistake(t, 'resources:\n- name: a\n', /a\.yaml:2:3: "@type": is missing/)
  mistake(t, `resources:\n- "@type": ${CLUSTER}\n`, /a\.yaml:2:3: name is missing/)
  mistake(t, 'resources:\n- "@type": x\n  name: a\n', /is not a resource; use one of/)
  mistake(t, 'clusters: []\n', /a\.yaml:1:1: expected `resources:`/)
  mistake(t, 'resources: [\n', /a\.yaml:\d+:\d+: /)
  mistake(t, `resources:\n${cluster('a')}${cluster('a')}`, /Cluster "a" is defined twice/)
})

t.test('equal contents have equal versions whatever their order', async t => {
  const bytes = new Uint8Array([1])
  const one = new Map([
    ['a', bytes],
    ['b', bytes],
  ])
  t.equal(versionOf(one), versionOf(new Map([...one].reverse())))
  t.not(versionOf(one), versionOf(new Map([['a', bytes]])))
})
