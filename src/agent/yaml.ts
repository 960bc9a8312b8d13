import { createRequire } from 'node:module'

type YamlPackage = typeof import('yaml')

/** YAML 1.2. What injectors write is JSON, and loading the general parser takes longer than anything else at the start of the agent. */
export function parseYaml(text: string): unknown {
  if (text.trim() === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return (createRequire(import.meta.url)('yaml') as YamlPackage).parse(text)
  }
}
