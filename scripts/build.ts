/** Builds the published package: bundled JavaScript in dist/, type declarations in dist/types. Run by `npm pack`. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { bundleBench } from './bundle-bench.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
rmSync(`${root}dist`, { recursive: true, force: true })

// Dependencies stay what npm installs; only our own sources are bundled, with what the commands and workers share in common chunks.
await build({
  absWorkingDir: root,
  entryPoints: {
    envoy: 'src/cmd/envoy.ts',
    'pilot-agent': 'src/cmd/pilot-agent.ts',
    remora: 'src/cmd/remora.ts',
    worker: 'src/worker/main.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  packages: 'external',
  sourcemap: 'linked',
  logLevel: 'warning',
})

await bundleBench(`${root}dist/bench`)

execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
