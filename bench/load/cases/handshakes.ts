import { atLeast, type BenchCase } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { TLS_EC, TLS_RSA, TLS_RSA_TWO_WORKERS } from '../configurations/tls.ts'
import { handshakeArguments, handshakeLoad } from '../drivers/handshake-load.ts'

export const handshakeRsa: BenchCase = handshakes('handshake-rsa', 'Full TLS handshakes, RSA 2048', TLS_RSA, false)
export const handshakeEc: BenchCase = handshakes('handshake-p256', 'Full TLS handshakes, P-256', TLS_EC, false)
export const handshakeResumed: BenchCase = handshakes(
  'handshake-resumed',
  'Resumed TLS handshakes with a request each, RSA 2048',
  TLS_RSA,
  true,
)
export const handshakeResumedWorkers: BenchCase = {
  ...handshakes(
    'handshake-resumed-workers',
    'Resumed TLS handshakes with a request each, RSA 2048, two workers',
    TLS_RSA_TWO_WORKERS,
    true,
  ),
  from: 'full',
}

function handshakes(id: string, title: string, configuration: Configuration, resume: boolean): BenchCase {
  return {
    id,
    title,
    group: 'handshake',
    series: null,
    axis: null,
    configuration,
    metric: { name: 'handshakes per CPU-second', unit: 'handshakes/CPU-s', higherIsBetter: true },
    value: 'operations-per-cpu-second',
    goal: resume ? null : atLeast(0.4),
    from: 'standard',
    headline: false,
    fresh: false,
    needs: ['openssl'],
    commands: plan => [`handshakes ${handshakeArguments(resume, plan.seconds).join(' ')} --port {port}`],
    measure: (target, plan) => handshakeLoad(resume, target, plan),
  }
}
