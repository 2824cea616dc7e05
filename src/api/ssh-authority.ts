/** What hosts need that trust our SSH certificates: the CA's line, and the list of revoked ones. */
import { Router, type RequestHandler } from 'express'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { formatSshPublicKey } from '../../ca/ssh/public-key.ts'
import type { Store } from '../domain/records.ts'
import { createKrlSource, SSH_AUTHORITY_COMMENT } from '../domain/ssh.ts'
import { routeName } from './request.ts'

export interface SshAuthorityDependencies {
  readonly sshAuthority: SshAuthority
  readonly store: Pick<Store, 'revokedSshSerials' | 'revokedHere'>
  readonly now: () => Date
}

/** The list is not signed, so that this is not for the plain listener. */
export function sshAuthorityRoutes(dependencies: SshAuthorityDependencies): Router {
  const router = Router()
  router.get('/ca.pub', routeName('/ca/ssh/ca.pub'), line(dependencies))
  router.get('/krl', routeName('/ca/ssh/krl'), krl(dependencies))
  return router
}

function line({ sshAuthority }: SshAuthorityDependencies): RequestHandler {
  const text = formatSshPublicKey(sshAuthority.publicKey, SSH_AUTHORITY_COMMENT)
  return function line(_request, response) {
    response.type('text/plain').send(text)
  }
}

function krl(dependencies: SshAuthorityDependencies): RequestHandler {
  const currentKrl = createKrlSource(dependencies)
  return async function krl(_request, response) {
    const list = await currentKrl()
    response.setHeader('Cache-Control', 'no-cache')
    response.type('application/octet-stream').send(list)
  }
}
