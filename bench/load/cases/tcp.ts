import { atLeast, type BenchCase } from '../case.ts'
import { TCP } from '../configurations/tcp.ts'
import { type ExchangeOptions, exchangeArguments, exchangeLoad } from '../drivers/exchange-load.ts'

const SMALL: ExchangeOptions = { kind: 'tcp', connections: 32, mutualTls: false }

export const tcpSmall: BenchCase = {
  id: 'tcp-small',
  title: 'TCP proxy, 64 bytes there and back, 32 connections',
  group: 'tcp',
  series: null,
  axis: null,
  configuration: TCP,
  metric: { name: 'exchanges per CPU-second', unit: 'exchanges/CPU-s', higherIsBetter: true },
  value: 'operations-per-cpu-second',
  goal: atLeast(1),
  from: 'smoke',
  headline: false,
  fresh: false,
  needs: [],
  commands: plan => [`exchange ${exchangeArguments(SMALL, plan.seconds).join(' ')} --port {port}`],
  measure: (target, plan) => exchangeLoad(SMALL, target, plan),
}
