import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { configureLog } from '../../../src/agent/log.ts'
import { DryRunCommands } from '../../../src/iptables/commands.ts'
import { DEFAULT_CONFIG, type IptablesConfig, validate } from '../../../src/iptables/config.ts'
import { apply } from '../../../src/iptables/execute.ts'

const folder = join(import.meta.dirname, '../../fixtures/iptables')
const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Record<string, Partial<IptablesConfig>>

configureLog({ write: () => {} })

for (const [name, changes] of Object.entries(cases)) {
  t.test(`${name}: same commands in the same order as Istio`, async t => {
    const config = { ...DEFAULT_CONFIG, ...changes }
    validate(config)
    const commands = new DryRunCommands()
    apply(config, commands)
    t.equal(commands.executed.join('\n'), readFileSync(join(folder, `${name}.golden`), 'utf8').trimEnd())
  })
}
