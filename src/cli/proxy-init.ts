/** `tts proxy init`: creates a proxy file from an access token, without Globus and without curl. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import {
  type FormattedKey,
  formatProxyFile,
  keyBelongsTo,
  type KeyFormat,
  keyFormats,
  parseProxyFile,
} from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo } from '../../ca/proxy-info.ts'
import { vomsTextProblem } from '../../plugins/x509-proxy/voms-parameter.ts'
import { TtsError } from '../base/errors.ts'
import { pemOf } from '../client/http-client.ts'
import { checkOutputFile, STANDARD_OUTPUT } from '../files/output-file.ts'
import { writePrivateFile } from '../files/private-file.ts'
import { duration } from './duration.ts'
import { addServiceOptions, connectToService, type ServiceOptions } from './service-connection.ts'
import { proxyPath, type Terminal } from './terminal.ts'

interface InitOptions extends ServiceOptions {
  readonly out?: string
  readonly lifetime?: number
  readonly type: string
  readonly pathLength?: string
  readonly keyType: KeyKind
  readonly keyFormat: KeyFormat
  readonly service?: string
  readonly voms?: readonly string[]
  readonly quiet?: boolean
}

export function proxyInitCommand(terminal: Terminal): Command {
  const command = new Command('init')
    .description(
      'create a proxy file from an access token (like grid-proxy-init from a certificate)',
    )
    .option(
      '-o, --out <FILE>',
      'proxy file to write, or `-` for standard output (default: X509_USER_PROXY, or /tmp/x509up_u$ID)',
    )
    .option(
      '-l, --lifetime <TIME>',
      'lifetime of the proxy: seconds, or 45m, 12h30m, 4d, 96:00 (default: that of the service)',
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
    .addOption(
      new Option('--key-format <FORMAT>', 'format of an RSA key; JGlobus reads pkcs1 only')
        .choices(keyFormats)
        .default('pkcs1'),
    )
    .option(
      '--voms <VO>',
      'VOMS attributes, as for voms-proxy-init: cms, or cms:/cms/Role=production (can be repeated)',
      (value: string, before?: readonly string[]) => [...(before ?? []), vomsOption(value)],
    )
    .option('--service <ID>', 'id of the service, if not `proxy`')
    .option('-q, --quiet', 'print nothing on success')
    .addHelpText(
      'after',
      `
The flags of grid-proxy-init work too: -valid H:M, -hours N, -out FILE, -limited, -bits N, -debug, -voms.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR: see docs/network.md.

Examples:
  BEARER_TOKEN=$(oidc-token --aud https://tts.example.org iam) tts proxy init --url https://tts.example.org
  tts proxy init --lifetime 12h --type limited --out ./gwms_proxy
  tts proxy init --voms cms:/cms/Role=production`,
    )
    .action((options: InitOptions) => init(terminal, options))
  return addServiceOptions(command)
}

/** @throws {InvalidArgumentError} the text names no VO */
function vomsOption(value: string): string {
  const problem = vomsTextProblem(value)
  if (problem === undefined) return value
  throw new InvalidArgumentError(problem)
}

async function init(terminal: Terminal, options: InitOptions): Promise<void> {
  const path = options.out ?? proxyPath(terminal)
  // A proxy that cannot be written must not be issued. And the key takes a moment.
  if (path !== STANDARD_OUTPUT) await checkOutputFile(path)
  const ask = await connectToService(terminal, options)
  const privateKey = await generatePrivateKey(options.keyType)
  const response = await ask({
    method: 'POST',
    path: 'v1/proxies',
    query: {
      proxy_type: options.type,
      lifetime_seconds: options.lifetime?.toString(),
      path_length: options.pathLength,
      service: options.service,
      voms: options.voms?.join(' '),
    },
    headers: { 'content-type': 'application/pkcs10', accept: 'application/x-pem-file' },
    body: await createCsr([], createSigner(privateKey)),
  })
  const text = proxyFileOf(pemOf(response), { privateKey, format: options.keyFormat })
  if (path === STANDARD_OUTPUT) terminal.out(text)
  else await writePrivateFile(path, text)
  const warning = response.headers['tts-warning']
  if (typeof warning === 'string') terminal.note(`note: ${warning}`)
  reportProxy(terminal, text, { path, quiet: options.quiet === true })
}

/** @throws {TtsError} `internal` (the certificates do not belong to the key) */
function proxyFileOf(pem: string, key: FormattedKey): string {
  const [proxy, ...chain] = parseProxyFile(pem).certificates
  if (!proxy || chain.length === 0 || !keyBelongsTo(key.privateKey, proxy))
    throw new TtsError('internal', 'the service did not return a proxy for the key of the request')
  return formatProxyFile(
    proxy.der,
    key,
    chain.map(({ der }) => der),
  )
}

function reportProxy(
  terminal: Terminal,
  text: string,
  { path, quiet }: { readonly path: string; readonly quiet: boolean },
): void {
  const facts = describeProxy(parseProxyFile(text), { now: terminal.now(), path })
  if (facts.state !== 'valid')
    terminal.note(
      `tts: warning: by the clock of this machine the proxy ${facts.state === 'expired' ? 'has expired' : `is not valid before ${facts.notBefore.toISOString()}`}; check the clock`,
    )
  if (quiet) return
  const report = formatProxyInfo(facts)
  // Standard output holds the proxy alone.
  if (path === STANDARD_OUTPUT) terminal.note(report.trimEnd())
  else terminal.out(report)
}
