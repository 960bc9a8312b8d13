import { readFileSync } from 'node:fs'

/** Options of Node that `bin/envoy` gives the proxy. What starts it by another way takes them from there, so that it runs the same. */
export function proxyFlags(): string[] {
  const launcher = readFileSync(new URL('../bin/envoy', import.meta.url), 'utf8')
  const flags = /^node_flags="(.*)"$/m.exec(launcher)?.[1]
  if (flags === undefined) throw new Error('bin/envoy has no line node_flags="…"')
  return flags.split(' ').filter(flag => flag !== '')
}
