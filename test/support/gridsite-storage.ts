/**
 * A storage that copies files to and from others with a delegated proxy, as dCache, StoRM and DPM do it: COPY answers
 * with the address of a delegation service (GridSite's SOAP interface, version 2), and then runs curl.
 */
import type { KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { formatProxyFile, keyBelongsTo } from '../../ca/proxy-file.ts'
import type { GridSite } from './grid-site.ts'
import { runTool } from './grid-tools.ts'
import {
  type Answer,
  bodyOf,
  certificatesOf,
  type ProxyClientServer,
  startProxyClientServer,
} from './proxy-clients.ts'

export interface GridSiteStorage extends ProxyClientServer {
  /** The proxy file that was delegated; undefined until then. */
  delegated(): string | undefined
}

const NAMESPACE = 'http://www.gridsite.org/namespaces/delegation-2'
const DELEGATION = '/gridsite-delegation'

/** Starts it. @param directory of its files */
export async function startGridSiteStorage(
  site: GridSite,
  directory: string,
): Promise<GridSiteStorage> {
  let key: KeyObject | undefined
  let proxyFile: string | undefined
  const delegate = async (message: string): Promise<Answer> => {
    if (message.includes('getInterfaceVersion')) return soap('getInterfaceVersion', '2.0.0')
    if (message.includes('getProxyReq')) {
      key = await generatePrivateKey('rsa-2048')
      return soap('getProxyReq', await createCsr(parseSlashDn('/O=Dummy'), createSigner(key)))
    }
    const [, text] = /<proxy>([^<]*)<\/proxy>/.exec(message) ?? []
    if (text === undefined) return fault('nothing was delegated')
    const [proxy, ...above] = certificatesOf(text)
    if (proxy === undefined || key === undefined || !keyBelongsTo(key, proxy))
      return fault('not for the key of the request')
    const chain = above.map(({ der }) => der)
    proxyFile = formatProxyFile(proxy.der, key, chain)
    return soap('putProxy')
  }
  const server = await startProxyClientServer(site, async (request) => {
    if (request.url === DELEGATION) return delegate(await bodyOf(request))
    if (request.method !== 'COPY') return { status: 404, body: '' }
    if (proxyFile !== undefined) return copy(request, { site, directory, proxyFile })
    const headers = { 'X-Delegate-To': `${server.url}${DELEGATION}`, Location: request.url ?? '' }
    return { status: 302, headers, body: '' }
  })
  return { ...server, delegated: () => proxyFile }
}

async function copy(
  { url = '', headers }: IncomingMessage,
  {
    site,
    directory,
    proxyFile,
  }: Readonly<Record<'directory' | 'proxyFile', string>> & { readonly site: GridSite },
): Promise<Answer> {
  const proxyPath = join(site.directory, 'delegated')
  await writeFile(proxyPath, proxyFile, { mode: 0o600 })
  const file = join(directory, url)
  const [source, destination] = [headers['source'], headers['destination']].map(String)
  const what =
    headers['source'] === undefined
      ? ['--upload-file', file, destination ?? '']
      : ['--output', file, source ?? '']
  const credential = ['--cert', proxyPath, '--key', proxyPath, '--capath', site.certDir]
  const options = ['--silent', '--show-error', '--fail', '--max-time', '10']
  const { status, output } = await runTool('curl', [...options, ...credential, ...what])
  return { status: 202, body: status === 0 ? 'success: Created\n' : `failure: ${output}\n` }
}

const envelope = (status: number, content: string): Answer => ({
  status,
  headers: { 'content-type': 'text/xml; charset=utf-8' },
  body: `<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:d="${NAMESPACE}">
<SOAP-ENV:Body>${content}</SOAP-ENV:Body></SOAP-ENV:Envelope>`,
})

function soap(operation: string, value?: string): Answer {
  const content = value === undefined ? '' : `<${operation}Return>${value}</${operation}Return>`
  return envelope(200, `<d:${operation}Response>${content}</d:${operation}Response>`)
}

const fault = (reason: string): Answer =>
  envelope(
    500,
    `<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode><faultstring>${reason}</faultstring></SOAP-ENV:Fault>`,
  )
