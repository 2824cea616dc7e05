/** What hosts need that trust our SSH certificates: the CA's line, and the list of revoked ones. */
import { Router, type RequestHandler } from 'express'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { formatSshPublicKey } from '../../ca/ssh/public-key.ts'
import {
  createKrlSource,
  type KrlDependencies,
  SSH_AUTHORITY_COMMENT,
} from '../domain/issuing/ssh.ts'
import { routeName } from './request.ts'
import { sendTagged, taggedOnce } from './tagged-answer.ts'

export interface SshAuthorityDependencies extends KrlDependencies {
  readonly sshAuthority: SshAuthority
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
  const tagged = taggedOnce((list: Buffer) => list)
  return async function krl(_request, response) {
    const list = tagged(await currentKrl())
    sendTagged(response.type('application/octet-stream'), list)
  }
}
