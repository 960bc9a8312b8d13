import type { ResourceType } from './type.ts'

export const SDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  typeName: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  word: 'Secret',
  nameField: 'name',
  complete: false,
  method: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
  deltaMethod: '/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets',
}
