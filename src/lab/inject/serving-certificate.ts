import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InjectionError } from './kubernetes.ts'

/** PEM. */
export interface ServingCertificate {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

const DAYS = '3650'

/**
 * A certificate for DNS `names` from a CA made for it alone, whose key is forgotten. Node makes no certificates; openssl does.
 * Throws InjectionError where that is missing or fails.
 */
export function makeServingCertificate(names: readonly string[]): ServingCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'remora-injector-'))
  try {
    const at = (name: string): string => join(folder, name)
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    const ca = ['-subj', '/CN=remora-injector-ca', '-addext', 'basicConstraints=critical,CA:TRUE']
    openssl(['req', '-x509', ...ec, ...ca, '-days', DAYS, '-keyout', at('ca.key'), '-out', at('ca.pem')])
    openssl(['req', ...ec, '-subj', `/CN=${names[0]}`, '-keyout', at('key.pem'), '-out', at('csr.pem')])
    const alternatives = names.map(name => `DNS:${name}`).join(',')
    writeFileSync(at('ext'), `subjectAltName=${alternatives}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`)
    const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', at('ext')]
    openssl(['x509', '-req', '-in', at('csr.pem'), ...signer, '-days', DAYS, '-out', at('cert.pem')])
    const read = (name: string): string => readFileSync(at(name), 'utf8')
    return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function openssl(argv: readonly string[]): void {
  const run = spawnSync('openssl', argv, { encoding: 'utf8' })
  if (run.status !== 0) throw new InjectionError(`openssl ${argv[0]}: ${run.error?.message ?? run.stderr}`)
}
