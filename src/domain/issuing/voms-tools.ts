/** VOMS attributes for the proxies of one issuing context. */
import type { FurtherExtension } from '../../../ca/further-extensions.ts'
import type { Validity } from '../../../ca/certificate.ts'
import { attributesExtension } from '../../../ca/voms/attribute-certificate.ts'
import { readAttributeCertificate } from '../../../ca/voms/read-attributes.ts'
import type { CallerAttributes, IssuingContext, VomsRequest } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { CachedEndEntity } from '../../signing/proxy-job.ts'
import {
  type Attributes,
  type AttributesCaller,
  type GrantedAttributes,
  notPresented,
} from '../voms/attributes.ts'
import { includes } from '../voms/presented.ts'

/** The extension of a proxy with certified attributes. */
export interface CertifiedAttributes {
  readonly extensions: readonly FurtherExtension[] | undefined
  /** When the first of them end. */
  readonly end: Date | undefined
}

export interface VomsTools extends Pick<IssuingContext, 'attributes'> {
  /** @param within the validity of the proxy */
  certify(
    attributes: readonly CallerAttributes[],
    endEntity: CachedEndEntity,
    within: Validity,
  ): Promise<CertifiedAttributes>
}

export function vomsTools(
  { attributes }: { readonly attributes: Attributes },
  caller: AttributesCaller,
): VomsTools {
  /** What a plugin got here it cannot have made up. */
  const decided = new Map<CallerAttributes, GrantedAttributes>()
  return {
    async attributes(requests) {
      requireAllPresented(caller, requests)
      return Promise.all(
        requests.map(async (request) => {
          const granted = await attributes.decide(caller, request)
          const { vo, fqans } = request
          // Nobody would notice that a proxy lacks what was asked for. (The VOMS server warns, as others do.)
          if (fqans !== 'all' && !fqans.every((fqan) => includes(granted.fqans, fqan)))
            throw notPresented(vo)
          const given = { vo: request.vo, fqans: granted.fqans }
          decided.set(given, granted)
          return given
        }),
      )
    },
    async certify(given, { certificate: endEntity }, within) {
      if (given.length === 0) return { extensions: undefined, end: undefined }
      const ders = await Promise.all(
        given.map(async (one) => {
          const granted = decided.get(one)
          if (granted === undefined)
            throw new TtsError('internal', 'the attributes are not of this request')
          return attributes.certify(granted, { endEntity, within })
        }),
      )
      const ends = ders.map((der) => readAttributeCertificate(der).validity.notAfter.getTime())
      return { extensions: [attributesExtension(ders)], end: new Date(Math.min(...ends)) }
    },
  }
}

/**
 * A successor without attributes of a VO could be renewed once more, with all that its person has.
 *
 * @throws {TtsError} `access_denied`, check `voms_presented`
 */
function requireAllPresented(
  { presented }: AttributesCaller,
  requests: readonly Pick<VomsRequest, 'vo'>[],
): void {
  const lost = [...(presented?.keys() ?? [])].find(
    (name) => !requests.some(({ vo }) => vo === name),
  )
  if (lost === undefined) return
  throw new TtsError(
    'access_denied',
    `voms: your proxy has attributes of the VO ${lost}, and so must its successor`,
    { check: 'voms_presented', remedy: 'Leave out `voms` to get the same attributes again.' },
  )
}
