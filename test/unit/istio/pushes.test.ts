import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { decodeMessage } from '../../../src/config/binary.ts'
import { parseCluster } from '../../../src/config/cluster.ts'
import { parseAssignment } from '../../../src/config/endpoint.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseRouteConfiguration } from '../../../src/config/route.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { parseListener } from '../../../src/listener/parse-listener.ts'
import { clusterParser } from '../../../src/server/cluster-parser.ts'
import { hasPush, PUSHES, type PushType, readPush, withoutNotYet } from '../../harness/istio-pushes.ts'

registerExtensions()

function parse(type: PushType, message: object, name: string): void {
  const at = FieldPath.root(name)
  const warnings: string[] = []
  const warn = (text: string): void => void warnings.push(text)
  if (type === 'CDS') parseCluster(message, at, clusterParser(warn))
  else if (type === 'EDS') parseAssignment(message, at, { dns: false, clusterType: 'EDS', warn })
  else if (type === 'LDS') parseListener(withoutNotYet(message) as object, at, warnings)
  else parseRouteConfiguration(message, at, { hasCluster: () => true, validateClusters: false, warnings })
}

for (const push of PUSHES) {
  t.test(`${push}: every resource is accepted`, async t => {
    for (const type of ['CDS', 'EDS', 'LDS', 'RDS'] as const) {
      // The routes of a waypoint are in its listeners.
      if (type === 'RDS' && !hasPush(push, type)) continue
      const response = readPush(push, type)
      const typeName = response.typeUrl.slice(response.typeUrl.indexOf('/') + 1)
      t.ok(response.resources.length > 0)
      for (const { name, body } of response.resources) {
        try {
          parse(type, decodeMessage(typeName, body!.bytes).message, name)
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error
          t.fail(`${push} ${type} ${name}: ${error.envoyText}`)
        }
      }
    }
  })
}
