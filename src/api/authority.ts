/** /ca: the public files of the CA that relying parties need. No token is required. */
import { Router, type RequestHandler } from 'express'
import { toPem } from '../../ca/pem.ts'
import type { CrlRecord } from '../domain/records.ts'
import { crlPem } from '../domain/revocation/crl-pem.ts'
import type { OtherAuthority, TrustAnchors } from '../domain/revocation/trust-anchors.ts'
import type { VomsClientFile } from '../domain/voms/client-files.ts'
import { packTrustAnchors } from '../files/trust-anchor-archive.ts'
import { routeName } from './request.ts'
import { sendTagged, taggedInSteps, taggedOnce } from './tagged-answer.ts'

const PEM = 'application/x-pem-file'
const CA_FILES = ['ca.pem', 'ca.der', 'chain.pem', 'crl.pem', 'crl.der', 'trust-anchors.tar.gz']

/** @param vomsFiles files for VOMS clients and relying parties; empty without VOs */
export function authorityRoutes(
  trustAnchors: TrustAnchors,
  vomsFiles: readonly VomsClientFile[],
): Router {
  const router = Router()
  const { authority, crls } = trustAnchors
  const certificates = [authority.certificate, ...authority.chain].map(({ der }) =>
    toPem('CERTIFICATE', der),
  )
  const [own = ''] = certificates
  const pem = taggedInSteps(async ({ der }: CrlRecord) => crlPem(der))
  const crlDer = taggedOnce(({ der }: CrlRecord) => der)
  const archive = taggedOnce((bytes: Buffer) => bytes)

  const get = (path: string, handler: RequestHandler): void => {
    router.get(path, routeName(`/ca${path}`), handler)
  }
  get('/ca.pem', fixed(PEM, own))
  get('/ca.der', fixed('application/pkix-cert', authority.certificate.der))
  get('/chain.pem', fixed(PEM, certificates.join('')))
  // What the oldest CA has signed names this URL, see `crlUrls`.
  const { oldest } = trustAnchors
  const plain = async (): Promise<CrlRecord> =>
    oldest === undefined ? crls.published() : trustAnchors.crlOf(oldest)
  get('/crl.pem', async (_request, response) => {
    const crl = await pem(await plain())
    // Express adds the charset to strings but not to buffers.
    sendTagged(response.type(`${PEM}; charset=utf-8`), crl)
  })
  get('/crl.der', async (_request, response) => {
    const crl = crlDer(await plain())
    // RFC 5280 section 4.2.1.13: a distribution point serves the CRL in DER, as application/pkix-crl (RFC 2585).
    sendTagged(response.type('application/pkix-crl'), crl)
  })
  const current = { authority, shortId: trustAnchors.shortId }
  addCertificateAndCrl(get, current, async () => crls.published())
  for (const other of trustAnchors.others)
    addCertificateAndCrl(get, other, async () => trustAnchors.crlOf(other))
  get('/trust-anchors.tar.gz', async (_request, response) => {
    const anchors = archive(await trustAnchors.archive())
    response.setHeader('Content-Disposition', 'attachment; filename="trust-anchors.tar.gz"')
    sendTagged(response.type('application/gzip'), anchors)
  })
  addVomsFiles(get, vomsFiles)
  get('/', (_request, response) => {
    response.json({ files: [...CA_FILES, ...offeredVomsFiles(vomsFiles)] })
  })
  return router
}

/** The certificate and the CRL of one CA, of those that there are during a roll-over of the key. */
function addCertificateAndCrl(
  get: (path: string, handler: RequestHandler) => void,
  { authority, shortId }: Pick<OtherAuthority, 'authority' | 'shortId'>,
  crl: () => Promise<CrlRecord>,
): void {
  const der = taggedOnce((record: CrlRecord) => record.der)
  get(`/${shortId}/ca.pem`, fixed(PEM, toPem('CERTIFICATE', authority.certificate.der)))
  get(`/${shortId}/crl.der`, async (_request, response) => {
    sendTagged(response.type('application/pkix-crl'), der(await crl()))
  })
}

/** Names of the files for VOMS under /ca. */
export function offeredVomsFiles(files: readonly VomsClientFile[]): readonly string[] {
  const hasServers = files.some(({ path }) => path === 'vomses')
  return [...(files.length === 0 ? [] : ['voms.tar.gz']), ...(hasServers ? ['vomses'] : [])]
}

/** What VOMS clients and relying parties install: one archive, and `vomses` alone. */
function addVomsFiles(
  get: (path: string, handler: RequestHandler) => void,
  files: readonly VomsClientFile[],
): void {
  if (files.length === 0) return
  const packed = packTrustAnchors(files.map(({ path: name, content }) => ({ name, content })))
  packed.catch(() => undefined)
  get('/voms.tar.gz', async (_request, response) => {
    response.setHeader('Content-Disposition', 'attachment; filename="voms.tar.gz"')
    response.setHeader('Cache-Control', 'public, max-age=3600')
    response.type('application/gzip').send(await packed)
  })
  for (const { path, content } of files)
    if (path === 'vomses') get('/vomses', fixed('text/plain', content))
}

function fixed(type: string, content: Buffer | string): RequestHandler {
  return function fixed(_request, response) {
    response.setHeader('Cache-Control', 'public, max-age=3600')
    response.type(type).send(content)
  }
}
