import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wantedSecrets } from './config-source.ts'
import { isTyped, type JsonObject } from './json.ts'
import type { Notes } from './notes.ts'
import { CompareError } from './options.ts'
import { nameOf } from './resources.ts'

/** PEM. */
export interface Identity {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
/** As a dump prints what is secret: a string, and bytes in base64. */
const REDACTED = /\[redacted\]|W3JlZGFjdGVkXQ==/

/**
 * The pushes with certificates for every secret that is wanted and not there: dumps do not tell private keys, and
 * listeners wait for them. Who verifies is then given the authority that signed these. `fixed`: what wants secrets beside the
 * pushes. `identity` is for the client.
 */
export function withSecrets(
  pushes: readonly (readonly JsonObject[])[],
  fixed: readonly JsonObject[],
  notes: Notes,
): { readonly pushes: readonly (readonly JsonObject[])[]; readonly identity: Identity | null } {
  let identity: Identity | null = null
  const completed = pushes.map(push => {
    const given = new Map(push.filter(one => isTyped(one, 'Secret')).map(one => [nameOf(one), one]))
    const lacks = (name: string): boolean => !given.has(name) || REDACTED.test(JSON.stringify(given.get(name)))
    const wanted = wantedSecrets([fixed, push])
    const certificates = wanted.filter(({ by }) => by === 'tls_certificate_sds_secret_configs')
    const made = certificates.some(({ name }) => lacks(name))
    for (const { name, by } of wanted) {
      const validates = by === 'validation_context_sds_secret_config'
      if (!lacks(name) && !(validates && made)) continue
      identity ??= makeIdentity()
      given.set(name, secretOf(name, by, identity))
      notes.about('secret', name, 'made for this run')
    }
    return [...push.filter(one => !isTyped(one, 'Secret')), ...given.values()]
  })
  return { pushes: completed, identity }
}

function secretOf(name: string, by: string, { ca, cert, key }: Identity): JsonObject {
  const secret = { '@type': SECRET, name }
  if (by === 'validation_context_sds_secret_config')
    return { ...secret, validation_context: { trusted_ca: { inline_string: ca } } }
  if (by === 'session_ticket_keys_sds_secret_config')
    return { ...secret, session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, name).toString('base64') }] } }
  return {
    ...secret,
    tls_certificate: { certificate_chain: { inline_string: cert }, private_key: { inline_string: key } },
  }
}

/** Good for servers, and for clients of a mesh. Throws CompareError with openssl's own words. */
function makeIdentity(): Identity {
  const folder = mkdtempSync(join(tmpdir(), 'remora-compare-identity-'))
  const at = (name: string): string => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const names = 'subjectAltName=URI:spiffe://cluster.local/ns/default/sa/default,DNS:localhost'
  try {
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      at('ca.key'),
      '-out',
      at('ca.pem'),
      '-days',
      '30',
      '-subj',
      '/CN=compare',
    )
    openssl('req', ...key, '-keyout', at('own.key'), '-out', at('own.csr'), '-subj', '/CN=own', '-addext', names)
    openssl(
      'x509',
      '-req',
      '-in',
      at('own.csr'),
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-days',
      '30',
      '-copy_extensions',
      'copy',
      '-out',
      at('own.pem'),
    )
    const read = (name: string): string => readFileSync(at(name), 'utf8')
    return { ca: read('ca.pem'), cert: read('own.pem'), key: read('own.key') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function openssl(...argv: readonly string[]): void {
  const { status, error, stderr } = spawnSync('openssl', argv, { encoding: 'utf8' })
  if (status === 0) return
  throw new CompareError(
    `secrets are wanted that --resources does not have, and openssl cannot make them: ${error?.message ?? stderr.trim()}`,
  )
}
