import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import type { InjectionSettings } from '../../../src/lab/inject/injection.ts'
import { parseMeshConfig } from '../../../src/lab/inject/mesh-config.ts'
import { injectResources } from '../../../src/lab/inject/resource-file.ts'
import { parseValues } from '../../../src/lab/inject/values.ts'
import { normalised } from '../../harness/istio-objects.ts'

interface Case {
  readonly in: string
  readonly want?: string
  readonly error?: string
  readonly warning?: string
  readonly values?: object
  readonly mesh?: object
  readonly native?: boolean
  readonly compliancePolicy?: string
  readonly openshift?: boolean
}

const folder = new URL('../../fixtures/istio/inject/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8')
const listed = JSON.parse(read('cases.json')) as Case[]
const known = new Set(listed.map(entry => entry.want ?? entry.in))
const others = readdirSync(folder)
  .filter(name => name.endsWith('.yaml') && !known.has(name) && !known.has(`${name}.injected`))
  .map((name): Case => ({ in: name, want: `${name}.injected` }))

function settings(entry: Case): InjectionSettings {
  return {
    values: parseValues(JSON.stringify(entry.values ?? {})),
    mesh: parseMeshConfig(JSON.stringify(entry.mesh ?? {})),
    revision: '',
    nativeSidecar: entry.native ?? true,
    compliancePolicy: entry.compliancePolicy ?? '',
  }
}

function documents(text: string): unknown[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map(document => document.toJS() as Record<string, unknown> | null)
    .filter(object => object !== null)
    .map(object => (object.kind === 'CronJob' ? withoutPodMetadata(object) : object))
    .map(withoutZeros)
    .map(normalised)
}

/** Istio's has none there; see resource-file.ts. */
function withoutPodMetadata(cron: Record<string, unknown>): Record<string, unknown> {
  const copy = structuredClone(cron) as { spec: { jobTemplate: { spec: { template: { metadata?: unknown } } } } }
  delete copy.spec.jobTemplate.spec.template.metadata
  return copy
}

/** Go's type of OpenShift writes some zeros and leaves out others. */
function withoutZeros(config: Record<string, unknown>): Record<string, unknown> {
  if (Array.isArray(config.items)) return { ...config, items: config.items.map(withoutZeros) }
  if (config.kind !== 'DeploymentConfig') return config
  const { test: _test, paused: _paused, minReadySeconds: _seconds, ...spec } = config.spec as Record<string, unknown>
  return { ...config, spec }
}

for (const entry of [...listed, ...others].filter(({ openshift }) => openshift !== true)) {
  t.test(`Istio's golden file ${entry.want ?? entry.in}`, t => {
    const warnings: string[] = []
    const run = (): string => injectResources(read(entry.in), settings(entry), line => void warnings.push(line))
    if (entry.error !== undefined) {
      t.throws(run, { message: new RegExp(entry.error, 'i') })
      t.end()
      return
    }
    const once = run()
    t.same(documents(once), documents(read(entry.want!)))
    if (entry.warning !== undefined) t.match(warnings.join('\n'), entry.warning)
    // That input is a pod injected by another version: the first injection takes what that left behind for the user's.
    const stable = entry.in === 'merge-probers.yaml' ? injectResources(once, settings(entry), () => {}) : once
    t.same(
      documents(injectResources(stable, settings(entry), () => {})),
      documents(stable),
      'a second injection changes nothing',
    )
    t.end()
  })
}
