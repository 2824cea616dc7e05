/** Rules on CRLs. A CRL is optional, but an existing one must be valid. */
import { verifyCrl } from '../chain-revocation.ts'
import type { Crl } from '../crl.ts'
import type { HashedFile, TrustDirectory } from '../trust-directory.ts'
import { type DoctorContext, type DoctorRule, eachOf, endEntityOf } from './context.ts'
import { globus, type RelyingParty } from './relying-parties.ts'
import { eachNeeded, neededAuthorities } from './trust-directory.ts'

const refusing: readonly RelyingParty[] = [...globus, 'OpenSSL', 'GridSite']
const java: readonly RelyingParty[] = ['caNl-Java', 'VOMS Java']

const fetchNew = 'Run fetch-crl, or install the new CRL of the CA: `tts ca crl` makes it.'
const SOON_MS = 24 * 3600 * 1000

/** The CRL of a CA by its new hash, where Globus and OpenSSL look for it. */
function crlOf(trust: TrustDirectory, hash: string): HashedFile<Crl> | undefined {
  return trust.crls.find((crl) => crl.hash === hash)
}

/** A sentence for each CRL of the chain's CAs; `what` follows "The CRL NAME of the CA". */
function eachCrl(
  context: DoctorContext,
  what: (file: HashedFile<Crl>) => string | undefined,
): readonly string[] {
  return eachNeeded(context, ({ hash, name }, trust) => {
    const file = crlOf(trust, hash)
    const problem = file && what(file)
    return problem === undefined ? undefined : `The CRL ${hash}.r0 of the CA ${name} ${problem}.`
  })
}

export const crlRules: readonly DoctorRule[] = [
  {
    id: 'crl-not-pem',
    severity: 'warns',
    relyingParties: refusing,
    check: (context) =>
      eachCrl(context, ({ format }) =>
        format === 'DER'
          ? 'is in DER but must be in PEM: it is ignored, and revocations are not seen'
          : undefined,
      ),
    remedy: 'Convert it with openssl crl -inform DER.',
  },
  {
    id: 'crl-unreadable',
    severity: 'warns',
    relyingParties: refusing,
    check: (context) =>
      eachNeeded(context, ({ hash, name }, { unreadable }) => {
        const file = unreadable.find((one) => one.name.startsWith(`${hash}.r`))
        return (
          file &&
          `The CRL ${file.name} of the CA ${name} cannot be read, so revocations are not seen: ${file.reason}.`
        )
      }),
    remedy: fetchNew,
  },
  {
    id: 'crl-bad-signature',
    severity: 'refuses',
    relyingParties: [...refusing, 'XRootD', ...java],
    check: (context) =>
      eachCrl(context, ({ value }) =>
        context.authorities.some(({ certificate }) => verifyCrl(value, certificate))
          ? undefined
          : 'is not signed by the key of that CA',
      ),
    remedy: fetchNew,
  },
  {
    id: 'crl-ended',
    severity: 'refuses',
    relyingParties: [...refusing, ...java],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate && nextUpdate <= context.now
          ? `expired at ${nextUpdate.toISOString()}: every certificate of this CA is refused`
          : undefined,
      ),
    remedy: fetchNew,
  },
  {
    id: 'crl-ended-where-required',
    severity: 'warns',
    relyingParties: ['XRootD'],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate && nextUpdate <= context.now
          ? 'has expired: an XRootD server that requires CRLs (-crl:3) refuses, others only log it'
          : undefined,
      ),
    remedy: fetchNew,
  },
  {
    id: 'crl-not-begun',
    severity: 'refuses',
    relyingParties: refusing,
    check: (context) =>
      eachCrl(context, ({ value: { thisUpdate } }) =>
        thisUpdate > context.now ? `is not valid before ${thisUpdate.toISOString()}` : undefined,
      ),
    remedy: 'Correct the clocks of the CA and of the relying party.',
  },
  {
    id: 'crl-ends-soon',
    severity: 'warns',
    relyingParties: [...refusing, ...java],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate &&
        nextUpdate > context.now &&
        nextUpdate.getTime() - context.now.getTime() < SOON_MS
          ? `expires at ${nextUpdate.toISOString()}; after that every certificate of this CA is refused`
          : undefined,
      ),
    remedy: fetchNew,
  },
  {
    id: 'crl-revoked',
    severity: 'refuses',
    relyingParties: [...globus, 'OpenSSL', 'VOMS Java', 'GridSite', 'caNl-Java'],
    check: (context) => {
      const crls = context.trustAnchors?.crls ?? []
      const candidates = [...endEntityOf(context), ...context.authorities]
      const revoked = candidates.filter(({ certificate }, index) => {
        const issuer = context.authorities[index]
        return (
          issuer !== undefined &&
          crls.some(
            ({ value }) =>
              value.revoked.has(certificate.serial) && verifyCrl(value, issuer.certificate),
          )
        )
      })
      return eachOf('certificate', revoked, () => 'is revoked by the CRL of its CA')
    },
    remedy: 'Find out why it was revoked, then request a new EEC and proxy.',
  },
  {
    id: 'crl-missing-above',
    severity: 'warns',
    relyingParties: ['OpenSSL'],
    check: (context) => {
      const trust = context.trustAnchors
      const some = trust && neededAuthorities(context).some(({ hash }) => crlOf(trust, hash))
      if (!some) return []
      return eachNeeded(context, ({ hash, name }, { certificates, crls, unreadable }) =>
        // A missing CA is reported by another rule.
        !certificates.some((one) => one.hash === hash) ||
        crls.some((crl) => crl.hash === hash) ||
        unreadable.some((one) => one.name.startsWith(`${hash}.r`))
          ? undefined
          : `The CRL of the CA ${name} is missing, while another CA of the chain has one: -crl_check_all requires all of them.`,
      )
    },
    remedy: 'Fetch the CRLs of all CAs of the chain.',
  },
]
