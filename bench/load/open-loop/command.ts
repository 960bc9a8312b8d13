import { spawn } from 'node:child_process'
import { nodeCommand } from '../place.ts'
import type { OpenLoopResult } from './result.ts'

/**
 * Runs the generator as a process of its own (its collections and its spinning are then nobody else's) and resolves with
 * what it measured. `prefix`: a command to put before it, as `['taskset', '-c', '1']`. Rejects with its error output.
 */
export function runOpenLoop(argv: readonly string[], prefix: readonly string[] = []): Promise<OpenLoopResult> {
  const [program, ...rest] = [...prefix, ...openLoopCommand(), ...argv]
  return new Promise((resolve, reject) => {
    const child = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', text => {
      errors += text
    })
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(JSON.parse(out) as OpenLoopResult)
      else reject(new Error(errors.trim() || `open-loop ended with ${code}`))
    })
  })
}

export function openLoopCommand(): readonly string[] {
  const [node, ...script] = nodeCommand('open-loop/main')
  // A young generation that a second of load fits into: scavenges are short and rare.
  return [node!, '--max-semi-space-size=64', ...script]
}
