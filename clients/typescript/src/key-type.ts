/** Kinds of keys. XRootD and Globus refuse proxies with EC keys. */
export type KeyType = 'rsa-2048' | 'rsa-3072' | 'rsa-4096' | 'ec-p256'
