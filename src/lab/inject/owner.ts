import type { JsonObject, Owner, Pod } from './kubernetes.ts'

/** The controller of a pod, guessed from its owner reference as pkg/kube/util.go GetDeployMetaFromPod does. */
export function ownerOf(pod: Pod): Owner {
  const { metadata } = pod
  const labels = metadata.labels ?? {}
  const namespace = metadata.namespace ?? ''
  const self: Owner = { apiVersion: 'v1', kind: 'Pod', name: metadata.name ?? '', namespace }
  if (!metadata.generateName) return self
  const references = Array.isArray(metadata.ownerReferences) ? (metadata.ownerReferences as JsonObject[]) : []
  const controller = references.find(reference => reference.controller === true)
  if (controller === undefined) return self

  const name = String(controller.name)
  const kind = String(controller.kind)
  const apiVersion = String(controller.apiVersion)
  const hash = labels['pod-template-hash']
  const rollout = labels['rollouts-pod-template-hash']
  const config = labels.deploymentconfig
  if (kind === 'ReplicaSet' && hash && name.endsWith(hash)) {
    return { apiVersion, kind: 'Deployment', name: withoutSuffix(name, hash), namespace }
  }
  if (kind === 'ReplicaSet' && rollout && name.endsWith(rollout)) {
    return { apiVersion: 'v1alpha1', kind: 'Rollout', name: withoutSuffix(name, rollout), namespace }
  }
  if (kind === 'ReplicationController' && config)
    return { apiVersion, kind: 'DeploymentConfig', name: config, namespace }
  const cron = kind === 'Job' ? /^(.+)-\d{8,10}$/.exec(name) : null
  if (cron !== null) return { apiVersion: 'batch/v1', kind: 'CronJob', name: cron[1]!, namespace }
  return { apiVersion, kind, name: name || self.name, namespace }
}

function withoutSuffix(name: string, hash: string): string {
  return name.endsWith(`-${hash}`) ? name.slice(0, -hash.length - 1) : name
}
