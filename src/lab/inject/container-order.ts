import {
  type Container,
  findContainer,
  INIT_CONTAINER,
  type Pod,
  PROXY_CONTAINER,
  VALIDATION_CONTAINER,
} from './kubernetes.ts'

export type Move = (containers: readonly Container[], name: string) => Container[]

export const moveFirst: Move = (containers, name) => {
  const moved = findContainer(name, containers)
  return moved === undefined ? [...containers] : [moved, ...without(containers, [name])]
}

export const moveLast: Move = (containers, name) => {
  const moved = findContainer(name, containers)
  return moved === undefined ? [...containers] : [...without(containers, [name]), moved]
}

export function without(containers: readonly Container[], names: readonly string[]): Container[] {
  return containers.filter(({ name }) => !names.includes(name))
}

/**
 * `proxy` puts the sidecar last, so that `kubectl exec` goes to the application, or first, where the application waits for it.
 * Init containers: a native sidecar goes right behind the redirection, so that the others are in the mesh; without one the redirection
 * comes last, so that the others still have the network, and the validation first, so that nothing runs outside the mesh unnoticed.
 */
export function reorder(pod: Pod, proxy: Move): void {
  pod.spec.containers = proxy(pod.spec.containers ?? [], PROXY_CONTAINER)
  let init = pod.spec.initContainers ?? []
  if (findContainer(PROXY_CONTAINER, init)) {
    for (const name of ['enable-core-dump', PROXY_CONTAINER, VALIDATION_CONTAINER, INIT_CONTAINER])
      init = moveFirst(init, name)
  } else {
    init = moveFirst(init, VALIDATION_CONTAINER)
    init = moveLast(init, INIT_CONTAINER)
    init = moveLast(init, 'enable-core-dump')
  }
  pod.spec.initContainers = init
}
