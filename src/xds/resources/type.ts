/** What is to be known of a resource type; one record per file of this folder. */
export interface ResourceType {
  readonly typeUrl: string
  /** Full name of the message. */
  readonly typeName: string
  /** How errors call a resource: `Cluster 'foo': lb_policy`. */
  readonly word: string
  /** Field of the message that is the resource's name. */
  readonly nameField: string
  /** Every response of the state-of-the-world protocol has all resources: one that is missing was removed (LDS, CDS). */
  readonly complete: boolean
  /** Whoever follows it decodes it; else one broken resource refuses its response before anybody is told. */
  readonly decodedLate?: boolean
  /** Methods of the type's own discovery service, for an api_config_source of type GRPC and DELTA_GRPC. */
  readonly method: string
  readonly deltaMethod: string
}
