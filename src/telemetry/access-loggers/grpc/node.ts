import { ENVOY_SHA, ENVOY_VERSION } from '../../../base/version.ts'
import { ownExtensions } from '../../../config/own-extensions.ts'
import type { NodeInfo } from '../../../config/services.ts'
import { encodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import { WireWriter } from '../../../config/wire-writer.ts'

/**
 * envoy.config.core.v3.Node as the control plane gets it too, but made on a worker: who it is, what it runs, and every extension it
 * was built with.
 */
export function encodeNode(node: NodeInfo): Uint8Array {
  const w = new WireWriter()
  w.stringField(1, node.id)
  w.stringField(2, node.cluster)
  w.bytesField(3, encodeStruct(node.metadata as StructFields))
  if (node.region !== '' || node.zone !== '' || node.subZone !== '') {
    w.messageField(4, () => {
      w.stringField(1, node.region)
      w.stringField(2, node.zone)
      w.stringField(3, node.subZone)
    })
  }
  w.stringField(6, 'envoy')
  w.messageField(8, () => writeBuild(w))
  for (const { name, category, typeUrls } of ownExtensions()) {
    w.messageField(9, () => {
      w.stringField(1, name)
      w.stringField(2, category)
      for (const url of typeUrls) w.stringField(6, url)
    })
  }
  return w.finish()
}

function writeBuild(w: WireWriter): void {
  const [major = 0, minor = 0, patch = 0] = ENVOY_VERSION.split('.').map(Number)
  w.messageField(1, () => {
    w.uintField(1, major)
    w.uintField(2, minor)
    w.uintField(3, patch)
  })
  const build = {
    'build.type': 'RELEASE',
    'revision.sha': ENVOY_SHA,
    'revision.status': 'Clean',
    'ssl.version': 'BoringSSL',
  }
  w.bytesField(2, encodeStruct(build))
}
