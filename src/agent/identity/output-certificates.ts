import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Logger } from '../log.ts'
import type { Secret } from './secret.ts'

const log = new Logger('cache')

/**
 * OUTPUT_CERTS: key.pem, cert-chain.pem and root-cert.pem for others, each replaced in one step and only when it differs.
 * An error is told and no more: the proxy has its certificate all the same.
 */
export function outputCertificates(folder: string, readableByAll: boolean, secret: Secret): void {
  if (folder === '') return
  const files: [string, string][] =
    secret.kind === 'key'
      ? [
          ['key.pem', secret.key],
          ['cert-chain.pem', secret.chain],
        ]
      : [['root-cert.pem', secret.roots]]
  for (const [name, text] of files) {
    const path = join(folder, name)
    try {
      if (!holds(path, text)) replace(path, text, readableByAll ? 0o644 : 0o600)
    } catch (error) {
      log.error(`error when output the resource: failed to write data to file ${name}: ${(error as Error).message}`)
    }
  }
}

function holds(path: string, text: string): boolean {
  try {
    return readFileSync(path, 'utf8') === text
  } catch {
    return false
  }
}

function replace(path: string, text: string, mode: number): void {
  const next = `${path}.${process.pid}.new`
  try {
    writeFileSync(next, text, { mode })
    renameSync(next, path)
  } catch (error) {
    rmSync(next, { force: true })
    throw error
  }
}
