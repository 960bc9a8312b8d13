import type { ResourceType } from './type.ts'

export const ECDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
  typeName: 'envoy.config.core.v3.TypedExtensionConfig',
  word: 'TypedExtensionConfig',
  nameField: 'name',
  complete: false,
  // The type it may have is asked before the rules of that type.
  decodedLate: true,
  method: '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs',
  deltaMethod: '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/DeltaExtensionConfigs',
}
