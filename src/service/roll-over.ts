/**
 * The roll-over of the CA's key, in three steps: a next CA that sites learn to trust, its activation, and the end of
 * the former one when nothing that it signed is valid any more. No step interrupts the service.
 */
import type { Authority } from '../../ca/authority.ts'
import type { KeyKind } from '../../ca/key.ts'
import { type DistinguishedName, startsWithName } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { TtsError } from '../base/errors.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { RecordedAuthority } from '../domain/installation.ts'
import { operatorRecord } from '../domain/operator-audit.ts'
import type { Origin } from '../domain/records.ts'
import {
  createTrustAnchors,
  type OtherAuthority,
  type TrustAnchors,
} from '../domain/revocation/trust-anchors.ts'
import type { Store } from '../domain/store.ts'
import {
  authorityExists,
  initAuthorityFiles,
  openAuthorityFiles,
} from '../files/authority-files.ts'
import {
  moveNextToCurrent,
  NEXT_PLACE,
  otherPlaces,
  removeFormer,
} from '../files/roll-over-files.ts'
import { authorityFilesOptions, recordedForm } from './installation.ts'

/** The part of the hash of a CA's key that names it in paths. */
export const shortIdOf = (authority: Authority): string =>
  recordedForm(authority, new Date(0)).keyId.slice(0, 8)

/**
 * Returns where each CA's CRL is served. What a CA has signed names the URL for ever, so the oldest CA that is still
 * here keeps the plain one, and the others have their id in it.
 *
 * @param plain undefined: CRLs are served nowhere
 */
export function crlUrls(
  plain: string | undefined,
  {
    authority,
    others,
  }: { readonly authority: Authority; readonly others: readonly OtherAuthority[] },
): (shortId?: string) => string | undefined {
  const own = shortIdOf(authority)
  const oldest = oldestOf(others)?.shortId ?? own
  return (shortId = own) => {
    if (plain === undefined || shortId === oldest) return plain
    // A URL elsewhere is the operator's: there the others have none.
    return plain.endsWith('/crl.der') ? plain.replace(/crl\.der$/, `${shortId}/crl.der`) : undefined
  }
}

/** Returns the trust anchors of an opened installation: of the current CA, and of those before and after it. */
export function trustAnchorsOf(core: {
  readonly loaded: LoadedConfiguration
  readonly authority: Authority
  readonly others: readonly OtherAuthority[]
  readonly crls: TrustAnchors['crls']
  readonly crlUrlOf: (shortId?: string) => string | undefined
  readonly endEntityBase: DistinguishedName
}): TrustAnchors {
  const { loaded, authority, others, crls, crlUrlOf, endEntityBase: userNamespace } = core
  const { alias } = loaded.configuration.ca
  const [shortId, oldest] = [shortIdOf(authority), oldestOf(others)]
  return createTrustAnchors({
    authority,
    shortId,
    others,
    oldest,
    crls,
    alias,
    crlUrlOf,
    userNamespace,
  })
}

const oldestOf = (others: readonly OtherAuthority[]): OtherAuthority | undefined =>
  others.find(({ role }) => role === 'former')

/**
 * Opens the CAs before and after a roll-over, the oldest of the former ones first.
 *
 * @param recorded tells their order. The certificates do not: one that was renewed begins later than its CA
 * @throws {TtsError} `configuration`
 */
export async function openOtherAuthorities(
  loaded: LoadedConfiguration,
  recorded: readonly RecordedAuthority[] = [],
): Promise<readonly OtherAuthority[]> {
  const options = authorityFilesOptions(loaded)
  const places = await otherPlaces(loaded.dataDirectory)
  const opened = await Promise.all(
    places.map(async ({ place, role }) => {
      const authority = await openAuthorityFiles({ ...options, place })
      const { keyId } = recordedForm(authority, new Date(0))
      const since =
        recorded.find((known) => known.keyId === keyId)?.since ??
        authority.certificate.validity.notBefore
      return { authority, role, shortId: shortIdOf(authority), since }
    }),
  )
  return opened.toSorted((left, right) => left.since.getTime() - right.since.getTime())
}

/**
 * Whether another replica has activated the next CA, which this process still holds as the next one.
 *
 * @throws {TtsError} `store_unavailable`
 */
export async function isRolledOver({
  store,
  others,
}: {
  readonly store: Pick<Store, 'installation'>
  readonly others: readonly OtherAuthority[]
}): Promise<boolean> {
  const next = others.find(({ role }) => role === 'next')
  if (next === undefined) return false
  const recorded = await store.installation.authority('x509-ca')
  return recorded?.keyId.startsWith(next.shortId) === true
}

/**
 * Completes an activation on this machine: when the database says that the next CA is the current one, it takes its
 * place here. So an activation on one replica reaches all.
 *
 * @throws {TtsError} `configuration`
 */
export async function followRollOver(
  loaded: LoadedConfiguration,
  recorded: RecordedAuthority | undefined,
): Promise<void> {
  const { dataDirectory } = loaded
  if (recorded === undefined || !authorityExists(dataDirectory, NEXT_PLACE)) return
  const options = authorityFilesOptions(loaded)
  const next = await openAuthorityFiles({ ...options, place: NEXT_PLACE })
  if (recordedForm(next, new Date(0)).keyId !== recorded.keyId) return
  // Missing after an interrupted move: then it is among the former ones already.
  const current = authorityExists(dataDirectory) ? await openAuthorityFiles(options) : undefined
  await moveNextToCurrent(dataDirectory, current === undefined ? '' : shortIdOf(current))
}

export interface NextRequest {
  /** Slash-DN; undefined: the name of the current CA, counted up. */
  readonly subject: string | undefined
  readonly keyKind: KeyKind
  readonly lifetimeDays: number
  readonly now: Date
}

/**
 * Makes the next CA. It has another name than the current one, because sites tell CAs apart by their names, but the
 * same parent, so that users keep their names.
 *
 * @throws {TtsError} `conflict` (there is a next CA already, or the CA is under an outside root), `invalid_request`
 *   (its name does not fit), `configuration`
 */
export async function prepareNext(
  loaded: LoadedConfiguration,
  request: NextRequest,
): Promise<Authority> {
  if (authorityExists(loaded.dataDirectory, NEXT_PLACE))
    throw new TtsError('conflict', 'there is a next CA already; a CA is never overwritten', {
      remedy: 'Use it with `tts ca roll-over activate`.',
    })
  const options = authorityFilesOptions(loaded)
  const current = await openAuthorityFiles(options)
  if (current.chain.length > 0)
    throw new TtsError(
      'conflict',
      'this CA is under an outside root, which must sign the next one',
      {
        remedy:
          'Make a new installation with `tts ca csr`, and let the sites trust both until the old one is empty.',
      },
    )
  const { subject } = current.certificate
  const name = request.subject ?? nextName(formatSlashDn(subject))
  const wanted = parseSlashDn(name)
  const sameParent =
    wanted.length === subject.length && startsWithName(wanted, subject.slice(0, -1))
  const others = await openOtherAuthorities(loaded)
  const taken = [current, ...others.map(({ authority }) => authority)]
  const isTaken = taken.some(
    ({ certificate }) =>
      formatSlashDn(certificate.subject).toLowerCase() === formatSlashDn(wanted).toLowerCase(),
  )
  if (!sameParent || isTaken)
    throw new TtsError(
      'invalid_request',
      `the name of the next CA, ${name}, must differ from ${formatSlashDn(subject)} and from former ones in its last part, and only there`,
    )
  return initAuthorityFiles({ ...options, place: NEXT_PLACE }, { ...request, subject: name })
}

/** `…/CN=Example CA` is followed by `…/CN=Example CA 2`, and that by 3. */
function nextName(subject: string): string {
  const [, base = subject, number = '1'] = /^(.*?)(?: (\d{1,3}))?$/.exec(subject) ?? []
  return `${base} ${Number(number) + 1}`
}

export interface Activation {
  readonly current: Authority
  readonly former: Authority
}

/**
 * Makes the next CA the current one, in the database and on this machine.
 *
 * @throws {TtsError} `not_found` (there is no next CA), `store_unavailable`
 */
export async function activateNext(
  loaded: LoadedConfiguration,
  store: Pick<Store, 'installation'>,
  { now, origin }: { readonly now: Date; readonly origin: Origin },
): Promise<Activation> {
  if (!authorityExists(loaded.dataDirectory, NEXT_PLACE)) throw noNext()
  const options = authorityFilesOptions(loaded)
  const former = await openAuthorityFiles(options)
  const next = await openAuthorityFiles({ ...options, place: NEXT_PLACE })
  const recorded = recordedForm(next, now)
  await store.installation.adoptAuthority(
    'x509-ca',
    recorded,
    operatorRecord({
      at: now,
      event: 'authority.rolled-over',
      origin,
      detail: `${nameOf(next)} follows ${nameOf(former)}`,
    }),
  )
  await followRollOver(loaded, recorded)
  return { current: next, former }
}

const nameOf = ({ certificate }: Authority): string => formatSlashDn(certificate.subject)

const noNext = (): TtsError =>
  new TtsError('not_found', 'there is no next CA', {
    remedy:
      'Make one with `tts ca roll-over prepare`, and give its trust anchors to the sites first.',
  })

/**
 * Deletes the former CAs with their keys.
 *
 * @param lastEnd when the last certificate that they signed ends
 * @returns their names
 * @throws {TtsError} `conflict`, check `still_valid`; `not_found` (there is no former CA)
 */
export async function finishRollOver(
  loaded: LoadedConfiguration,
  { lastEnd, now }: { readonly lastEnd: Date | undefined; readonly now: Date },
): Promise<readonly string[]> {
  const former = (await openOtherAuthorities(loaded)).filter(({ role }) => role === 'former')
  if (former.length === 0) throw new TtsError('not_found', 'there is no former CA')
  if (lastEnd !== undefined && lastEnd > now)
    throw new TtsError(
      'conflict',
      `a certificate of the former CA is valid until ${lastEnd.toISOString()}`,
      { check: 'still_valid', remedy: 'Run this again after that time.' },
    )
  for (const { shortId } of former) await removeFormer(loaded.dataDirectory, shortId)
  return former.map(({ authority }) => formatSlashDn(authority.certificate.subject))
}
