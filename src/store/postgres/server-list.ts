/** Connection strings that name several servers, as libpq reads them; the driver knows only one. */

/** The servers of a connection string. */
export interface ServerList {
  /** One connection string for each server, in the order of the list. */
  readonly urls: readonly string[]
  /** Only a server that accepts writes may be used. */
  readonly needsWritable: boolean
}

const WRITABLE = new Set(['read-write', 'primary'])
const FORM = /^(postgres(?:ql)?:\/\/)([^@/?#]*@)?([^/?#]*)([^?#]*)(?:\?([^#]*))?/

/**
 * Splits a connection string. Several servers always need one that accepts writes, because the service writes with
 * every request: libpq's default, any server, would be of no use.
 *
 * @throws {RangeError} the list cannot be used; the message repeats nothing of the connection string
 * @see PostgreSQL documentation, "Specifying Multiple Hosts" and `target_session_attrs`
 */
export function listServers(url: string): ServerList {
  const [, scheme = '', user = '', authority = '', path = '', query = ''] = FORM.exec(url) ?? []
  const parameters = new URLSearchParams(query)
  const wanted = parameters.get('target_session_attrs')
  const hosts = parameters.get('host')?.split(',') ?? []
  const several = hosts.length > 1 || authority.includes(',')
  const isWritable = wanted !== null && WRITABLE.has(wanted)
  if (wanted !== null && !isWritable && (several || wanted !== 'any'))
    throw new RangeError('target_session_attrs must be read-write or primary: the service writes')
  if (!several && wanted === null) return { urls: [url], needsWritable: false }
  parameters.delete('target_session_attrs')
  const build = (place: string): string => {
    const rest = parameters.toString()
    return `${scheme}${user}${place}${path}${rest === '' ? '' : `?${rest}`}`
  }
  if (hosts.length <= 1)
    return { urls: authority.split(',').map(build), needsWritable: several || isWritable }
  const ports = parameters.get('port')?.split(',') ?? []
  if (ports.length > 1 && ports.length !== hosts.length)
    throw new RangeError('port must name one port, or one for each host')
  const urls = hosts.map((host, index) => {
    const port = ports[index] ?? ports[0]
    parameters.set('host', host)
    if (port !== undefined) parameters.set('port', port)
    return build(authority)
  })
  return { urls, needsWritable: true }
}
