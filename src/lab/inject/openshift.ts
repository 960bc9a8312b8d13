import {
  type Container,
  findContainer,
  INIT_CONTAINER,
  type Pod,
  PROXY_CONTAINER,
  VALIDATION_CONTAINER,
} from './kubernetes.ts'

/** Ids of the proxy in a namespace of OpenShift: the last ones of the ranges that its annotations give it; else 1337. */
export function proxyIds(annotations: Readonly<Record<string, string>>): { uid: number; gid: number } {
  const uids = annotations['openshift.io/sa.scc.uid-range'] ?? ''
  const groups = annotations['openshift.io/sa.scc.supplemental-groups'] ?? uids
  return { uid: lastOf(uids) ?? 1337, gid: lastOf(groups.split(',')[0]!) ?? 1337 }
}

/** `start/size` or `start-end`. */
function lastOf(block: string): number | undefined {
  const sized = /^(\d{1,10})\/(\d{1,10})$/.exec(block)
  if (sized) return Number(sized[1]) + Number(sized[2]) - 1
  const range = /^(\d{1,10})-(\d{1,10})$/.exec(block)
  return range ? Number(range[2]) : undefined
}

/**
 * OpenShift writes one runAsUser into all containers, a user's istio-proxy too, and the redirection could not tell proxy and application
 * apart; a value that is the application's is therefore not the user's wish (webhook.go, isSidecarUserMatchingAppUser). Changes `pod`.
 */
export function forgetAssignedUser(pod: Pod): void {
  const { containers, initContainers } = pod.spec
  const sidecar = findContainer(PROXY_CONTAINER, containers, initContainers)
  if (sidecar?.securityContext === undefined) return
  const others = [...(containers ?? []), ...(initContainers ?? [])].filter(
    ({ name }) => name !== PROXY_CONTAINER && name !== INIT_CONTAINER && name !== VALIDATION_CONTAINER,
  )
  const user = (container: Container): unknown => container.securityContext?.runAsUser ?? 0
  const application =
    others
      .map(user)
      .filter(id => id !== 0)
      .at(-1) ?? 0
  if (user(sidecar) !== application) return
  const { runAsUser: _user, runAsGroup: _group, ...rest } = sidecar.securityContext
  sidecar.securityContext = rest
}
