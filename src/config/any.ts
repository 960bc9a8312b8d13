/**
 * google.protobuf.Any as the readers of this folder produce it.
 * `message` is undefined only when the type is unknown and the input was binary; then `value` holds the bytes. A message read from
 * a TypedStruct of an unknown type keeps its struct as `message` and sets `typed_struct`.
 */
export interface AnyMessage {
  /** full form, 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' */
  readonly type_url: string
  readonly message?: object | undefined
  readonly value?: Uint8Array | undefined
  readonly typed_struct?: true | undefined
  /** the TypedStruct it was written as, with that type's URL: dumps and re-encoding show it unchanged */
  readonly struct?: { readonly type_url: string; readonly value: object } | undefined
}
