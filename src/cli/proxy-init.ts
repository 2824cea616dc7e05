/** `tts proxy init`: gets a proxy for a token. The private key is generated here and never leaves this host. */
import { X509Certificate } from 'node:crypto'
import { Command, Option } from 'commander'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import { formatProxyFile, keyBelongsTo, parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo } from '../../ca/proxy-info.ts'
import { TtsError } from '../base/errors.ts'
import { discoverBearerToken, readTokenFile } from '../files/bearer-token.ts'
import { cannotRead } from '../files/file-errors.ts'
import { readInputFile } from '../files/input-file.ts'
import { writePrivateFile } from '../files/private-file.ts'
import { useNetwork } from '../network/network.ts'
import { serviceRefusal, requireSafeToken, send } from '../client/http-client.ts'
import { duration, waitSeconds } from './duration.ts'
import { proxyPath, type Terminal } from './terminal.ts'

const MAX_CA_BYTES = 4 * 1024 * 1024

interface InitOptions {
  readonly url?: string
  readonly tokenFile?: string
  readonly out?: string
  readonly lifetime?: number
  readonly type: string
  readonly pathLength?: string
  readonly keyType: KeyKind
  readonly service?: string
  readonly cacert?: string
  readonly timeout: number
  readonly quiet?: boolean
}

export function proxyInitCommand(terminal: Terminal): Command {
  return new Command('init')
    .description(
      'create a proxy file from an access token (like grid-proxy-init from a certificate)',
    )
    .option('--url <URL>', 'URL of the service (default: TTS_URL, or http://127.0.0.1:8080)')
    .option(
      '--token-file <FILE>',
      'file with the access token (default: BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID)',
    )
    .option(
      '-o, --out <FILE>',
      'proxy file to write (default: X509_USER_PROXY, or /tmp/x509up_u$ID)',
    )
    .option(
      '-l, --lifetime <TIME>',
      'lifetime of the proxy: seconds, or 45m, 12h, 4d, 96:00 (default: that of the service)',
      duration,
    )
    .addOption(
      new Option('--type <TYPE>', 'type of the proxy')
        .choices(['impersonation', 'limited', 'independent'])
        .default('impersonation'),
    )
    .option(
      '--path-length <N>',
      'maximum number of proxies delegated from it in a chain (default: no limit)',
    )
    .addOption(
      new Option('--key-type <KIND>', 'type of the key; XRootD and Globus refuse EC keys')
        .choices(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256'])
        .default('rsa-2048'),
    )
    .option('--service <ID>', 'id of the service, if not `proxy`')
    .option(
      '--cacert <FILE>',
      "PEM file with the CA certificates for the service's TLS certificate (default: those of Node, SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR)",
    )
    .option('--timeout <SECONDS>', 'time limit for the service, in seconds', waitSeconds, 60)
    .option('-q, --quiet', 'print nothing on success')
    .addHelpText(
      'after',
      `
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR: see docs/network.md.

Examples:
  BEARER_TOKEN=$(oidc-token iam) tts proxy init --url https://tts.example.org
  tts proxy init --lifetime 12h --type limited --out ./gwms_proxy`,
    )
    .action((options: InitOptions) => init(terminal, options))
}

async function init(terminal: Terminal, options: InitOptions): Promise<void> {
  // Checks the options first, because generating the key takes a moment.
  const url = requestUrl(terminal, options)
  useNetwork({
    environment: terminal.environment,
    trustGridAuthorities: true,
    warn: (line) => terminal.note(`tts: warning: ${line}`),
  })
  const certificateAuthorities =
    options.cacert === undefined ? undefined : await readAuthorities(options.cacert)
  const token =
    options.tokenFile === undefined
      ? (await discoverBearerToken(terminal)).token
      : await readTokenFile(options.tokenFile)
  const privateKey = await generatePrivateKey(options.keyType)
  const csr = await createCsr([], createSigner(privateKey))
  const response = await send({
    url,
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/pkcs10',
      accept: 'application/x-pem-file',
    },
    body: csr,
    certificateAuthorities,
    timeoutMs: options.timeout * 1000,
  })
  if (response.status !== 200) throw serviceRefusal(response)
  const [proxy, ...chain] = parseProxyFile(response.body).certificates
  if (!proxy || chain.length === 0 || !keyBelongsTo(privateKey, proxy)) {
    throw new TtsError('internal', 'the service did not return a proxy for the key of the request')
  }
  const path = options.out ?? proxyPath(terminal)
  const text = formatProxyFile(
    proxy.der,
    privateKey,
    chain.map(({ der }) => der),
  )
  await writePrivateFile(path, text)
  const warning = response.headers['tts-warning']
  if (typeof warning === 'string') terminal.note(`note: ${warning}`)
  if (!options.quiet) {
    terminal.out(
      formatProxyInfo(describeProxy(parseProxyFile(text), { now: terminal.now(), path })),
    )
  }
}

/** Reads a PEM file, and checks that its first certificate can be parsed. */
async function readAuthorities(path: string): Promise<string> {
  const read = readInputFile(path, { maxBytes: MAX_CA_BYTES }).catch((cause: unknown) => {
    throw cannotRead(`the file ${path}`, cause)
  })
  const text = (await read).toString('utf8')
  try {
    void new X509Certificate(text)
    return text
  } catch (cause) {
    throw new TtsError('invalid_request', `${path} contains no PEM certificate`, { cause })
  }
}

function requestUrl(terminal: Terminal, options: InitOptions): URL {
  const base = options.url ?? terminal.environment['TTS_URL'] ?? 'http://127.0.0.1:8080'
  if (!URL.canParse(base) || !/^https?:/.test(base)) {
    throw new TtsError('invalid_request', `"${base}" is not an http or https URL`)
  }
  const url = new URL('v1/proxies', base.endsWith('/') ? base : `${base}/`)
  requireSafeToken(url)
  const parameters: readonly (readonly [string, string | undefined])[] = [
    ['proxy_type', options.type],
    ['lifetime_seconds', options.lifetime?.toString()],
    ['path_length', options.pathLength],
    ['service', options.service],
  ]
  for (const [name, value] of parameters) if (value !== undefined) url.searchParams.set(name, value)
  return url
}
