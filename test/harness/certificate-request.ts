import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type DerValue, derOfPem, derValues } from './der-reader.ts'

/** What a PKCS#10 request (RFC 2986) says. */
export interface ReadRequest {
  readonly publicKey: KeyObject
  readonly uris: readonly string[]
}

/** OIDs as their DER contents: extensionRequest, subjectAltName, ecdsa-with-SHA384. */
const EXTENSION_REQUEST = '2a864886f70d01090e'
const SUBJECT_ALT_NAME = '551d11'
const ECDSA_SHA384 = '2a8648ce3d040303'
const URI_NAME = 0x86

/** Throws Error when it cannot be read or is not signed by the key it holds. */
export function readCertificateRequest(pem: string): ReadRequest {
  const [info, algorithm, signature] = derValues(derOfPem(pem).content) as [DerValue, DerValue, DerValue]
  const [, , key, attributes] = derValues(info.content) as [DerValue, DerValue, DerValue, DerValue | undefined]
  const publicKey = createPublicKey({ key: key.whole, format: 'der', type: 'spki' })
  const hash =
    (derValues(algorithm.content)[0] as DerValue).content.toString('hex') === ECDSA_SHA384 ? 'sha384' : 'sha256'
  if (!verify(hash, info.whole, publicKey, signature.content.subarray(1))) throw new Error('signature does not match')
  const uris: string[] = []
  for (const attribute of derValues(attributes?.content ?? Buffer.alloc(0))) {
    const [id, values] = derValues(attribute.content) as [DerValue, DerValue]
    if (id.content.toString('hex') !== EXTENSION_REQUEST) continue
    for (const extensions of derValues(values.content)) {
      for (const extension of derValues(extensions.content)) uris.push(...urisOf(derValues(extension.content)))
    }
  }
  return { publicKey, uris }
}

function urisOf(extension: readonly DerValue[]): string[] {
  if (extension[0]?.content.toString('hex') !== SUBJECT_ALT_NAME) return []
  const names = derValues((extension.at(-1) as DerValue).content)[0] as DerValue
  return derValues(names.content)
    .filter(name => name.tag === URI_NAME)
    .map(name => name.content.toString('latin1'))
}
