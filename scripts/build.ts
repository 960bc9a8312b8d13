/** Builds the published package: bundles in dist/ with the code cache of a first run, type declarations in dist/types. Run by `npm pack`. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.ts'
import { bundleBench } from './bundle-bench.ts'
import { proxyFlags } from './proxy-flags.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
await bundle(dist)
await fillCodeCache()
await fillAgentCache()
await bundleBench(join(dist, 'bench'))
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})

/** The loader writes the cache of what has run after two seconds; a proxy that serves a request has run what a start needs. */
async function fillCodeCache(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'remora-build-'))
  const socket = join(folder, 'listener')
  writeFileSync(join(folder, 'envoy.yaml'), bootstrap(folder))
  const flags = ['-c', join(folder, 'envoy.yaml'), '--concurrency', '1', '--log-level', 'warning']
  // V8 takes a cache only under the flags it was made under.
  const proxy = spawn(process.execPath, [...proxyFlags(), join(dist, 'envoy.cjs'), ...flags], { stdio: 'inherit' })
  try {
    const cached = (): number => readdirSync(dist).filter(name => name.endsWith('.cache')).length
    for (let left = 200; cached() < 2; left--) {
      if (left === 0 || proxy.exitCode !== null)
        throw new Error('the built proxy does not run, or writes no code cache')
      if (existsSync(socket)) await ask(socket)
      await sleep(50)
    }
  } finally {
    proxy.kill('SIGTERM')
    if (proxy.exitCode === null) await once(proxy, 'exit')
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The agent of a pod whose control plane never answers, with a proxy that does nothing. */
async function fillAgentCache(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'remora-build-'))
  const idle = join(folder, 'proxy')
  writeFileSync(idle, '#!/bin/sh\nexec sleep 20\n', { mode: 0o755 })
  const config = {
    binaryPath: idle,
    controlPlaneAuthPolicy: 'NONE',
    discoveryAddress: '127.0.0.1:1',
    statusPort: await freePort(),
    terminationDrainDuration: '0.001s',
  }
  const agent = spawn(process.execPath, [join(dist, 'pilot-agent.cjs'), 'proxy', 'sidecar'], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify(config),
      FILE_MOUNTED_CERTS: 'true',
      INSTANCE_IP: '127.0.0.1',
    },
    stdio: 'ignore',
  })
  try {
    const cached = (): boolean => readdirSync(dist).some(name => /^pilot-agent\..*\.cache$/.test(name))
    for (let left = 200; !cached(); left--) {
      if (left === 0 || agent.exitCode !== null)
        throw new Error('the built agent does not run, or writes no code cache')
      await sleep(50)
    }
  } finally {
    agent.kill('SIGTERM')
    if (agent.exitCode === null) await once(agent, 'exit')
    rmSync(folder, { recursive: true, force: true })
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

function ask(socketPath: string): Promise<void> {
  return new Promise(resolve => {
    const sent = request({ socketPath, path: '/' }, response => response.resume().once('end', resolve))
    sent.once('error', () => resolve()).end()
  })
}

function bootstrap(folder: string): string {
  return `
admin: { address: { pipe: { path: ${folder}/admin } } }
static_resources:
  listeners:
  - name: listener
    address: { pipe: { path: ${folder}/listener } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: ${folder}/access.log
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route: { cluster: upstream, timeout: 1s, retry_policy: { retry_on: reset, num_retries: 1 } }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: upstream
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { pipe: { path: ${folder}/admin } } }
`
}
