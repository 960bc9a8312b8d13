import type { ResourceType } from './type.ts'

export const CDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  typeName: 'envoy.config.cluster.v3.Cluster',
  word: 'Cluster',
  nameField: 'name',
  complete: true,
  method: '/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters',
  deltaMethod: '/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters',
}
