/** Says which name a certificate will have, before the user requests it. */
import { x509Certificate } from '../../../plugins/x509-certificate/index.ts'
import { X509_PROXY } from '../../../plugins/x509-proxy/index.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { html, type Html } from '../html/html.ts'
import type { PersonalVisit } from '../view.ts'

/** Renders the name; nothing for services that make no X.509 certificates. It assigns no name. */
export async function namePreview(
  { web, session }: PersonalVisit,
  { plugin }: Service,
): Promise<Html | undefined> {
  const isProxy = plugin.id === X509_PROXY
  if (!isProxy && plugin.id !== x509Certificate.id) return undefined
  const foreseen = await web.issuing.subjects.foresee(session.token)
  if (foreseen === undefined) return undefined
  const { subject, isAssigned } = foreseen
  return html`<p>
      Your DN ${isAssigned ? 'is' : 'will be'} <span class="mono"><bdi>${subject}</bdi></span>
    </p>
    <p class="hint">
      Sites know you by this
      name.${!isAssigned && ' It becomes yours with your first certificate, and then never changes.'}${isProxy && ' A proxy adds /CN= and a number, which sites leave out when they look you up.'}
    </p>`
}
