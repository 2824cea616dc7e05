/**
 * Environment variables that Kubernetes sets in every pod of a namespace for each Service in it. Those of a Service
 * called `tts` or `tts-prod` begin as ours do, and are no keys.
 *
 * @see https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */

/** The part after the name of the Service. Our own names have a double underscore between words of a path. */
const SUFFIX =
  /(?:^|_)(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/
const PORT = /(?:^|_)PORT$/

/** @param prefix of our own names, such as `TTS_` */
export function isServiceLink(prefix: string, name: string, value: string): boolean {
  const rest = name.slice(prefix.length)
  if (!name.startsWith(prefix) || rest.includes('__')) return false
  // `TTS_LISTEN_PORT=8443` is a mistyped key: it must be refused.
  return SUFFIX.test(rest) || (PORT.test(rest) && /^(?:tcp|udp|sctp):\/\//.test(value))
}
