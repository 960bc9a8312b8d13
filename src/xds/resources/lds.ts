import type { ResourceType } from './type.ts'

export const LDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  typeName: 'envoy.config.listener.v3.Listener',
  word: 'Listener',
  nameField: 'name',
  complete: true,
  method: '/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners',
  deltaMethod: '/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners',
}
