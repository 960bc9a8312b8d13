import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface KeyPair {
  readonly cert: string
  readonly key: string
  /** SHA-256, as node:tls prints it. */
  readonly fingerprint: string
  /** Certificate and key in one file, as HAProxy wants them. */
  readonly combined: string
}

/** Paths of files made for this run. */
export interface Certificates {
  readonly ca: string
  readonly rsa: KeyPair
  readonly ec: KeyPair
  readonly client: KeyPair
}

/** A CA, server certificates for `bench.test` with RSA 2048 and P-256, a client certificate. Throws with openssl's own words. */
export function makeCertificates(folder: string): Certificates {
  const ca = join(folder, 'ca.pem')
  const caKey = join(folder, 'ca.key')
  openssl(
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', caKey, '-out', ca],
    ['-days', '30', '-subj', '/CN=bench CA', '-addext', 'basicConstraints=critical,CA:TRUE'],
  )
  const rsaKey = ['rsa', '-pkeyopt', 'rsa_keygen_bits:2048']
  const ecKey = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  return {
    ca,
    rsa: pair(folder, 'rsa', rsaKey, ca, caKey, 'DNS:bench.test'),
    ec: pair(folder, 'ec', ecKey, ca, caKey, 'DNS:bench.test'),
    client: pair(folder, 'client', rsaKey, ca, caKey, 'URI:spiffe://bench.test/ns/default/sa/client'),
  }
}

function pair(
  folder: string,
  name: string,
  keyType: readonly string[],
  ca: string,
  caKey: string,
  san: string,
): KeyPair {
  const cert = join(folder, `${name}.pem`)
  const key = join(folder, `${name}.key`)
  const request = join(folder, `${name}.csr`)
  const extensions = join(folder, `${name}.ext`)
  writeFileSync(extensions, `subjectAltName=${san}\nbasicConstraints=CA:FALSE\n`)
  openssl(['genpkey', '-algorithm', ...keyType, '-out', key])
  openssl(['req', '-new', '-key', key, '-subj', `/CN=${name}`, '-out', request])
  openssl(
    ['x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial'],
    ['-days', '30', '-extfile', extensions, '-out', cert],
  )
  const combined = join(folder, `${name}.both.pem`)
  writeFileSync(combined, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  return { cert, key, combined, fingerprint: new X509Certificate(readFileSync(cert)).fingerprint256 }
}

function openssl(...argv: readonly (readonly string[])[]): void {
  const run = spawnSync('openssl', argv.flat(), { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`openssl ${argv[0]![0]}: ${run.error?.message ?? run.stderr}`)
}
