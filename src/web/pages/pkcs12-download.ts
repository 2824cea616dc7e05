/**
 * A new certificate as a PKCS#12 file, the only form that browsers import. The service has the key only while it
 * answers: the form on the result page brings key and passphrase back, and nothing is stored.
 */
import { X509Certificate } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { CaError } from '../../../ca/errors.ts'
import { readPem } from '../../../ca/pem.ts'
import { pkcs12File } from '../../../ca/pkcs12.ts'
import { decryptPrivateKey } from '../../../ca/private-key.ts'
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import { contextOf } from '../../api/request.ts'
import { TtsError } from '../../base/errors.ts'
import { html, type Html } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, PostedVisit } from '../view.ts'

const MIN_PASSWORD = 8
const MAX_KEY_CHARACTERS = 8192
const MAX_CERTIFICATES = 10
const FILE = 'usercert.p12'

/** Certificate and key in PEM, and the passphrase of the key. */
interface KeyPair {
  readonly certificate: string
  readonly key: string
  readonly passphrase: string
}

/** Returns the certificate and key among the values of a credential; undefined when the user has the key. */
export function keyPairOf(entries: readonly CredentialEntry[]): KeyPair | undefined {
  const [certificate, key, passphrase] = entries.map(({ value }) => value)
  if (certificate === undefined || key === undefined || passphrase === undefined) return undefined
  return isTraditionalKey(key) && certificate.startsWith('-----BEGIN CERTIFICATE-')
    ? { certificate, key, passphrase }
    : undefined
}

/**
 * Only the form that the plugin makes: a key in PKCS#8 could name a key derivation that takes minutes, and reading it
 * blocks the process. Nothing may follow: OpenSSL goes on to the next block when the first one is not a key.
 */
function isTraditionalKey(pem: string): boolean {
  return pem.length <= MAX_KEY_CHARACTERS && TRADITIONAL_KEY.test(pem)
}

const TRADITIONAL_KEY =
  /^-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,[0-9A-F]{32}\n\n([A-Za-z0-9+/=]{1,64}\n)+-----END RSA PRIVATE KEY-----\n$/

/** Renders the form. @param action path that accepts the download forms of this session */
export function pkcs12Form(
  visit: PersonalVisit,
  pair: KeyPair,
  { action, problem }: { readonly action: string; readonly problem?: string | undefined },
): Html {
  const hidden = (name: string, value: string): Html =>
    html`<input type="hidden" name="${name}" value="${value}" />`
  const described = `p12-hint${problem === undefined ? '' : ' p12-error'}`
  return html`<form class="card" method="post" action="${ownPath(visit.web, action)}">
    <h2>For your browser: ${FILE}</h2>
    <p class="hint" id="p12-hint">
      Browsers and mail programs import certificate and key as one PKCS#12 file. Choose a password
      for the file, at least ${MIN_PASSWORD} characters without accents. The browser asks for it at
      the import.
    </p>
    ${tokenField(visit.session)}${hidden('kind', 'pkcs12')}${hidden('certificate', base64(pair.certificate))}${hidden('key', base64(pair.key))}${hidden('passphrase', pair.passphrase)}
    ${problem !== undefined && html`<p class="error" id="p12-error" role="alert">${problem}</p>`}
    <div class="field">
      <label for="p12-password">Password for the file</label>
      ${passwordField('p12-password', 'password', { described, isBad: problem !== undefined })}
    </div>
    <div class="field">
      <label for="p12-again">The same password again</label>
      ${passwordField('p12-again', 'again', { described, isBad: problem !== undefined })}
    </div>
    <p><button>Download ${FILE}</button></p>
  </form>`
}

function passwordField(
  id: string,
  name: string,
  { described, isBad }: { readonly described: string; readonly isBad: boolean },
): Html {
  return html`<input
    type="password"
    id="${id}"
    name="${name}"
    required
    minlength="${MIN_PASSWORD}"
    autocomplete="new-password"
    aria-describedby="${described}"
    ${isBad && html` aria-invalid="true"`}
  />`
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/**
 * Answers the submitted form with the file, or shows the form again if the passwords cannot be used.
 *
 * @throws {TtsError} `invalid_request` (certificate and key are not those of the result page); `limit_reached` (another
 *   file of the user is being made)
 */
export async function downloadPkcs12(visit: PostedVisit): Promise<void> {
  const { form, response } = visit
  const text = (name: string): string => Buffer.from(form[name] ?? '', 'base64').toString('latin1')
  const pair = {
    certificate: text('certificate'),
    key: text('key'),
    passphrase: form['passphrase'] ?? '',
  }
  const content = readPair(pair)
  const password = form['password'] ?? ''
  const problem = passwordProblem(password, form['again'])
  if (problem !== undefined) {
    showFormAgain(visit, pair, problem)
    return
  }
  const file = await makeFile(visit, content, password)
  response.setHeader('Content-Disposition', `attachment; filename="${FILE}"`)
  response.type('application/x-pkcs12').send(file)
}

type Content = Parameters<typeof pkcs12File>[0]

/** Issuer and `sub` of the users whose file is being made. One takes a third of a second of a core. */
const waiting = new Set<string>()

async function makeFile(
  { session, response }: PostedVisit,
  content: Content,
  password: string,
): Promise<Buffer> {
  const user = JSON.stringify([session.token.issuer, session.token.sub])
  if (waiting.has(user))
    throw new TtsError('limit_reached', 'another file of yours is being made: wait for it', {
      check: 'pkcs12',
      retryAfterSeconds: 1,
    })
  const { signal } = contextOf(response)
  const pause = async (): Promise<void> => {
    // Nobody waits for the file any more.
    signal.throwIfAborted()
    await setImmediate()
  }
  waiting.add(user)
  try {
    return await pkcs12File(content, { password, pause })
  } finally {
    waiting.delete(user)
  }
}

function passwordProblem(password: string, again: string | undefined): string | undefined {
  if (password.length < MIN_PASSWORD)
    return `The password must have at least ${MIN_PASSWORD} characters.`
  if (!/^[\x20-\x7e]{1,256}$/.test(password))
    return 'The password must have at most 256 characters: Latin letters without accents, digits and punctuation.'
  return password === again ? undefined : 'The two passwords are not the same.'
}

function readPair(pair: KeyPair): Content {
  try {
    const blocks = readPem(pair.certificate, 'certificate')
    const certificates = blocks.map(({ der }) => der)
    const own = new X509Certificate(certificates[0] ?? Buffer.alloc(0))
    if (!isTraditionalKey(pair.key) || blocks.length > MAX_CERTIFICATES) throw notThePair()
    const privateKey = decryptPrivateKey(pair.key, pair.passphrase)
    if (!own.checkPrivateKey(privateKey)) throw notThePair()
    const [, name = ''] = /CN=([\x20-\x7e]{1,64})$/.exec(own.subject) ?? []
    return { privateKey, certificates, friendlyName: name === '' ? 'certificate' : name }
  } catch (error) {
    if (error instanceof TtsError) throw error
    throw notThePair(error instanceof CaError ? error : undefined)
  }
}

function notThePair(cause?: Error): TtsError {
  return new TtsError(
    'invalid_request',
    'the form has no certificate with its key: request a new certificate',
    cause === undefined ? {} : { cause },
  )
}

function showFormAgain(visit: PostedVisit, pair: KeyPair, problem: string): void {
  const { web, response, request, session } = visit
  // Users of relying services have no navigation.
  const isOwn = !request.path.startsWith('/rsp/')
  const page = isOwn ? { web, response, session } : { web, response, session: undefined }
  sendPage(page, {
    title: 'Choose another password',
    status: 400,
    content: pkcs12Form(visit, pair, { action: request.path, problem }),
  })
}
