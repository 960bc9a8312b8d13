import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RunningAgent } from './running-agent.ts'

const FAKE = join(import.meta.dirname, 'fake-proxy.ts')

t.test('a configuration that cannot work is refused with advice, and nothing is started', async t => {
  for (const [config, env, advice] of [
    [{ discoveryAddress: 'istiod:15012' }, {}, /root CA file for CA does not exist/],
    [{ discoveryAddress: 'nowhere', controlPlaneAuthPolicy: 'NONE' }, {}, /not host:port/],
    [{ statusPort: 0 }, {}, /invalid status port: port number 0 must be in the range 1\.\.65535/],
    [{ drainDuration: '5 minutes' }, {}, /drainDuration: expected a duration/],
    [{}, { ENVOY_STATUS_PORT: 'x' }, /ENVOY_STATUS_PORT=x/],
    [{}, { CA_ADDR: 'ca:1', CA_ROOT_CA: 'none.pem' }, /root CA file for CA does not exist none.pem/],
    [{}, { PROV_CERT: 'x', FILE_MOUNTED_CERTS: 'true' }, /PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive/],
    [{}, { WORKLOAD_RSA_KEY_SIZE: '1024' }, /minimum required size of 2048/],
    [{}, { WORKLOAD_IDENTITY_SOCKET_FILE: 'spire' }, /non-default SDS socket path: .*spire but no socket found/],
    [{}, { CA_PROVIDER: 'GoogleCA' }, /CA provider "GoogleCA" not registered/],
  ] as const) {
    const agent = new RunningAgent()
    agent.start(FAKE, env, config)
    t.equal(await agent.exit, 255)
    t.match(agent.output, advice)
    t.notOk(existsSync(join(agent.folder, 'seen.jsonl')))
    await agent.stop()
  }
})
