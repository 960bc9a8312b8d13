import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { configureLog } from '../../../src/agent/log.ts'
import { DryRunCommands } from '../../../src/iptables/commands.ts'
import { DEFAULT_CONFIG, type IptablesConfig, validate } from '../../../src/iptables/config.ts'
import { applyNft } from '../../../src/iptables/nft-execute.ts'

const fixtures = join(import.meta.dirname, '../../fixtures')
type Cases = Record<string, Partial<IptablesConfig>>
const cases: Cases = {
  ...(JSON.parse(readFileSync(join(fixtures, 'iptables/cases.json'), 'utf8')) as Cases),
  ...(JSON.parse(readFileSync(join(fixtures, 'nftables/cases.json'), 'utf8')) as Cases),
}

configureLog({ write: () => {} })

for (const [name, changes] of Object.entries(cases)) {
  t.test(`${name}: same nft transaction as Istio`, async t => {
    const config = { ...DEFAULT_CONFIG, ...changes }
    validate(config)
    const commands = new DryRunCommands()
    applyNft(config, commands)
    const golden = readFileSync(join(fixtures, `nftables/capture/${name}.golden`), 'utf8').trimEnd()
    t.equal(commands.executed.join('\n'), golden)
  })
}
