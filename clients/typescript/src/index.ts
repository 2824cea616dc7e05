/** Client of the Token Translation Service. */
export type * from './api-types.ts'
export {
  createClient,
  type DelegationKey,
  type PageOptions,
  type Proxy,
  type ProxyOptions,
  type TtsClient,
} from './client.ts'
export type { ClientOptions } from './connection.ts'
export type { KeyType } from './key-type.ts'
export { TtsClientError, TtsForeignAnswer, TtsProblem, TtsUnreachable } from './errors.ts'
export { writePrivateFile } from './private-file.ts'
