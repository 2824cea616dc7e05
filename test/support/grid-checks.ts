/** One check a tool of a proxy file and its trust anchors; each can be run on any credential. */
import type { CredentialFiles } from './grid-site.ts'
import { runTool, type ToolRun } from './grid-tools.ts'

const environment = ({ proxyPath, trustAnchorDir }: CredentialFiles): Record<string, string> => ({
  X509_USER_PROXY: proxyPath,
  X509_CERT_DIR: trustAnchorDir,
})

export const proxyInfoPackages = ['globus-proxy-utils', 'voms-clients', 'openssl'] as const

/** What grid-proxy-info prints. */
export function gridProxyInfo(credential: CredentialFiles): Promise<ToolRun> {
  return runTool('grid-proxy-info', ['-file', credential.proxyPath], environment(credential))
}

/** What voms-proxy-info prints. */
export function vomsProxyInfo(credential: CredentialFiles): Promise<ToolRun> {
  return runTool('voms-proxy-info2', ['-file', credential.proxyPath], environment(credential))
}

/** `openssl verify` of a proxy file as a relying party does it, by default a strict one, with or without CRLs. */
export function opensslVerify(
  { proxyPath, trustAnchorDir }: CredentialFiles,
  options: readonly string[] = [],
  { strict = true }: { readonly strict?: boolean } = {},
): Promise<ToolRun> {
  const how = [
    '-allow_proxy_certs',
    '-no-CAfile',
    '-no-CAstore',
    ...(strict ? ['-x509_strict'] : []),
  ]
  const files = ['-CApath', trustAnchorDir, '-untrusted', proxyPath, proxyPath]
  return runTool('openssl', ['verify', ...how, ...options, ...files])
}

/** What grid-cert-diagnostics finds in the credential and its CAs. */
export function gridCertDiagnostics(credential: CredentialFiles): Promise<ToolRun> {
  const { proxyPath } = credential
  const user = { X509_USER_CERT: proxyPath, X509_USER_KEY: proxyPath }
  return runTool('grid-cert-diagnostics', ['-p'], { ...environment(credential), ...user })
}

/** A proxy derived from the proxy by Globus: what delegation needs. */
export function gridProxyInit(credential: CredentialFiles, out: string): Promise<ToolRun> {
  const { proxyPath, trustAnchorDir } = credential
  const args = ['-cert', proxyPath, '-key', proxyPath, '-out', out, '-valid', '1:00', '-verify']
  return runTool('grid-proxy-init', args, { X509_CERT_DIR: trustAnchorDir })
}
