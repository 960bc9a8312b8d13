/** cluster_manager.local_cluster_name of the bootstrap, '' = none; set before anything is parsed that may refer to it. Main only. */
export const localCluster = { name: '' }
