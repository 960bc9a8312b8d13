/** Tags Istio's bootstrap takes out of stat names (stats_config.stats_tags), in its order: dashboards rely on them. */
export const STATS_TAGS: readonly { readonly tag_name: string; readonly regex: string }[] = [
  { tag_name: 'cluster_name', regex: String.raw`^cluster(\.(.+);)` },
  {
    tag_name: 'http_conn_manager_prefix',
    regex: String.raw`^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)`,
  },
  { tag_name: 'thread_name', regex: String.raw`^server(\.(.+))\.watchdog` },
  { tag_name: 'tcp_prefix', regex: String.raw`^tcp\.((.*?)\.)\w+?$` },
  { tag_name: 'response_code', regex: String.raw`_rq(_(\d{3}))$` },
  { tag_name: 'response_code_class', regex: String.raw`_rq(_(\dxx))$` },
  {
    tag_name: 'http_conn_manager_listener_prefix',
    regex: String.raw`^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`,
  },
  {
    tag_name: 'listener_address',
    regex: String.raw`^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`,
  },
  { tag_name: 'mongo_prefix', regex: String.raw`^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$` },
  { tag_name: 'cache', regex: String.raw`(cache\.(.+?)\.)` },
  { tag_name: 'component', regex: String.raw`(component\.(.+?)\.)` },
  { tag_name: 'tag', regex: String.raw`(tag\.(.+?);\.)` },
  { tag_name: 'wasm_filter', regex: String.raw`(wasm_filter\.(.+?)\.)` },
  { tag_name: 'authz_enforce_result', regex: String.raw`rbac(\.(allowed|denied))` },
  { tag_name: 'authz_dry_run_action', regex: String.raw`(\.istio_dry_run_(allow|deny)_)` },
  { tag_name: 'authz_dry_run_result', regex: String.raw`(\.shadow_(allowed|denied))` },
]
