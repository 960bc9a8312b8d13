import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { machineTime, neighbourShare, parseCpuLine } from '../../../bench/load/processes/neighbours.ts'
import { kilobytes, parseStat, processTree, treeCpuSeconds, treeMemory } from '../../../bench/load/processes/tree.ts'

const linux = process.platform === 'linux' ? {} : { skip: 'no /proc' }

t.test('a process name with blanks and parentheses does not shift the fields', async t => {
  const stat = '42 (a (b) c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7'
  t.same(parseStat(stat), { parent: 7, ticks: 110 })
})

t.test('sizes of /proc are kilobytes; a missing field is zero', async t => {
  const status = 'Name:\tx\nVmRSS:\t    1234 kB\nRssAnon:\t      10 kB\n'
  t.equal(kilobytes(status, 'VmRSS'), 1234 * 1024)
  t.equal(kilobytes(status, 'Rss'), 0)
})

t.test('a tree is the process and all below it', linux, async t => {
  const shell = spawn('sh', ['-c', 'sleep 60 & sleep 60 & echo up; wait'], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => {
    for (const pid of processTree(shell.pid!)) process.kill(pid, 'SIGKILL')
  })
  await once(shell.stdout, 'data')
  const tree = processTree(shell.pid!)
  t.equal(tree.length, 3)
  t.ok(processTree(process.pid).includes(tree[2]!), 'the tree of the parent has the grandchildren')
})

t.test('CPU of a child that has ended stays in the sum', linux, async t => {
  const burn = 'const end = process.cpuUsage().user + 300000; while (process.cpuUsage().user < end);'
  const script = `require('child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(burn)}]); console.log('up'); setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => parent.kill('SIGKILL'))
  await once(parent.stdout, 'data')
  t.ok(treeCpuSeconds(parent.pid!) >= 0.25)
})

t.test('memory of a tree has RSS, its proportional and its anonymous part', linux, async t => {
  const memory = treeMemory(process.pid)
  t.ok(memory.rssBytes > memory.anonBytes)
  t.ok(memory.anonBytes > 0)
})

t.test('the first line of /proc/stat gives busy and stolen time', async t => {
  t.same(parseCpuLine('cpu  100 10 50 9000 70 5 15 20 40 0'), { busy: 1.8, stolen: 0.2 })
})

t.test('neighbours are what the machine did less what the bench did', async t => {
  const before = { busy: 10, own: 4, stolen: 0, at: 100 }
  t.equal(neighbourShare(before, { busy: 13, own: 6, stolen: 0, at: 102 }, 2), 0.25)
  t.equal(neighbourShare(before, { busy: 12, own: 6.1, stolen: 1, at: 102 }, 2), 0.25)
  t.equal(neighbourShare(before, { busy: 12, own: 5, stolen: 0, at: 100.1 }, 2), null, 'too short to tell')
  t.ok(process.platform !== 'linux' || machineTime()!.own > 0)
})
