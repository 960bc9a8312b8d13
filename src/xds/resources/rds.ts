import type { ResourceType } from './type.ts'

export const RDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  typeName: 'envoy.config.route.v3.RouteConfiguration',
  word: 'RouteConfiguration',
  nameField: 'name',
  complete: false,
  method: '/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes',
  deltaMethod: '/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes',
}
