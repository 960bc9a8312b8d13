export interface FieldRules {
  readonly [kind: string]: unknown
}
/** One field in proto/descriptors.jsonl. Short keys: the file holds some ten thousand of them. */
export interface FieldRecord {
  /** name */
  n: string
  /** number */
  i: number
  /** FieldDescriptorProto.Type */
  t: number
  /** message or enum type */
  m?: string
  /** repeated */
  r?: 1
  /** JSON name where it is not the usual camelCase form */
  j?: string
  /** not packed */
  np?: 1
  /** has presence although scalar: proto3 optional, proto2 */
  p?: 1
  /** index of the oneof */
  o?: number
  /** deprecated since this minor version, '1' when not told */
  d?: string
  /** disallowed by default (fatal unless the runtime allows it) */
  off?: 1
  /** sensitive: redacted in dumps */
  s?: 1
  /** protoc-gen-validate rules */
  v?: FieldRules
}
export interface MessageRecord {
  f: FieldRecord[]
  o?: { n: string; req?: 1 }[]
  /** map entry */
  map?: 1
  /** (validate.disabled) */
  noval?: 1
  file?: string
}
