import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Snapshot } from '../../../src/lab/resource-files.ts'
import { ResourceWatcher } from '../../../src/lab/resource-watcher.ts'

function cluster(name: string): string {
  return `resources:\n- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: ${name}\n`
}

/** Callbacks as a queue that a test can wait on. */
class Events {
  readonly #arrived: (Snapshot | string)[] = []
  #waiting: ((event: Snapshot | string) => void) | undefined

  push(event: Snapshot | string): void {
    if (this.#waiting === undefined) this.#arrived.push(event)
    else this.#waiting(event)
    this.#waiting = undefined
  }

  next(): Promise<Snapshot | string> {
    const event = this.#arrived.shift()
    if (event !== undefined) return Promise.resolve(event)
    return new Promise(resolve => {
      this.#waiting = resolve
    })
  }
}

t.test('edits are followed however an editor makes them, a mistake is told and changes nothing', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-watch-'))
  mkdirSync(join(folder, 'client'))
  const file = join(folder, 'client/clusters.yaml')
  writeFileSync(file, cluster('a'))
  const events = new Events()
  const watcher = new ResourceWatcher(folder, {
    onSnapshot: snapshot => events.push(snapshot),
    onError: message => events.push(message),
  })
  t.teardown(() => {
    watcher.close()
    rmSync(folder, { recursive: true })
  })
  const names = async (): Promise<string[]> => {
    const event = await events.next()
    if (typeof event === 'string') throw new Error(event)
    return [...(event.perNode.get('client') ?? [])].map(resource => resource.name)
  }
  t.same(await names(), ['a'], 'read at once')
  writeFileSync(file, cluster('b'))
  t.same(await names(), ['b'], 'written in place')
  writeFileSync(join(folder, 'client/.new'), cluster('c'))
  renameSync(join(folder, 'client/.new'), file)
  t.same(await names(), ['c'], 'renamed over')
  writeFileSync(file, `${cluster('d')}  conect_timeout: 1s\n`)
  t.match(await events.next(), /client\/clusters\.yaml:4:3: no such field: 'conect_timeout'/)
  mkdirSync(join(folder, 'other'))
  writeFileSync(file, cluster('e'))
  t.same(await names(), ['e'], 'and mended')
  rmSync(file)
  t.same(await names(), [], 'and removed')
})
