import t from 'tap'
import { parseCpuList } from '../../../bench/load/machine.ts'
import { OptionError, parseOptions } from '../../../bench/load/options.ts'
import { asLoad, asUpstream, choosePinning, NOT_PINNED, pinned, proxyCpus } from '../../../bench/load/pinning.ts'

t.test('what is not given comes from the profile and the environment', async t => {
  t.match(parseOptions([], { ENVOY_BINARY: '/envoy' }), {
    profile: 'standard',
    envoy: '/envoy',
    rounds: null,
    only: [],
  })
  t.equal(parseOptions(['--envoy', '/other'], { ENVOY_BINARY: '/envoy' }).envoy, '/other')
})

t.test('a wrong option is an error that names what is allowed', async t => {
  t.throws(() => parseOptions(['--profile', 'quick'], {}), { name: 'OptionError', message: /smoke, standard, full/ })
  t.throws(() => parseOptions(['--peers', 'squid'], {}), { message: /haproxy/ })
  t.throws(() => parseOptions(['--rounds', '0'], {}), { message: /whole number from 1/ })
  t.throws(() => parseOptions(['--frob'], {}), OptionError)
})

t.test('a configuration of the user needs requests, and the other way round', async t => {
  t.throws(() => parseOptions(['--config', 'x.yaml'], {}), OptionError)
  t.throws(() => parseOptions(['--url', 'http://a/'], {}), OptionError)
  t.same(parseOptions(['--config', 'x', '--url', 'http://a/', '--url', 'http://b/'], {}).urls, [
    'http://a/',
    'http://b/',
  ])
})

t.test('the smoke profile writes files only when told where', async t => {
  t.equal(parseOptions(['--profile', 'smoke'], {}).writesFiles, false)
  t.equal(parseOptions(['--profile', 'smoke', '--output', 'x'], {}).writesFiles, true)
  t.equal(parseOptions([], {}).writesFiles, true)
  t.equal(parseOptions(['--no-output'], {}).writesFiles, false)
})

t.test('the proxy has a core of its own; load and upstream are apart when there are cores enough', async t => {
  const tools = { taskset: true, chrt: true }
  t.same(choosePinning([0, 1], tools), { proxy: '0', load: '1', upstream: '1', batch: true })
  t.same(choosePinning([0, 1, 2, 3, 4], tools), { proxy: '0', load: '1,2', upstream: '3,4', batch: false })
  t.same(choosePinning([0], tools), NOT_PINNED)
  t.same(choosePinning([0, 1], { taskset: false, chrt: true }), NOT_PINNED)
})

t.test('load and upstream are batch jobs where they share a core', async t => {
  const shared = choosePinning([0, 1], { taskset: true, chrt: true })
  t.same(asLoad(shared, ['wrk']), ['taskset', '-c', '1', 'chrt', '--batch', '0', 'wrk'])
  t.same(asUpstream(shared, ['nginx']), ['taskset', '-c', '1', 'chrt', '--batch', '0', 'nginx'])
  t.same(asLoad(choosePinning([0, 1], { taskset: true, chrt: false }), ['wrk']), ['taskset', '-c', '1', 'wrk'])
  t.same(asLoad(choosePinning([0, 1, 2, 3], { taskset: true, chrt: true }), ['wrk']), ['taskset', '-c', '1,2', 'wrk'])
  t.same(asUpstream(NOT_PINNED, ['nginx']), ['nginx'])
})

t.test('a proxy with two workers is not pinned to one core', async t => {
  const pinning = choosePinning([0, 1], { taskset: true, chrt: true })
  t.equal(proxyCpus(pinning, 2), null)
  t.same(pinned(proxyCpus(pinning, 1), ['envoy']), ['taskset', '-c', '0', 'envoy'])
  t.same(pinned(null, ['envoy']), ['envoy'])
})

t.test('CPU lists are read as the kernel writes them', async t => {
  t.same(parseCpuList('0-2,5,8-9'), [0, 1, 2, 5, 8, 9])
  t.same(parseCpuList(''), [])
})
